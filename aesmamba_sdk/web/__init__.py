"""What local servers share: who may ask them, and how they listen (extra ``serve``)."""
