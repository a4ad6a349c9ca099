"""``aesmamba serve``: the SDK over HTTP, for apps that are not Python (extra ``serve``)."""
