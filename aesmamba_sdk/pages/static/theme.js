// Light or dark: the system's choice until the reader makes one, which is kept where it can be.
const THEME = "aesmamba-theme";

function keptTheme() {
  try {
    return localStorage.getItem(THEME);
  } catch {
    return null; // pages of files may not be allowed to keep anything
  }
}

function startTheme(button) {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const show = () => {
    button.textContent = isDark() ? "☀" : "☾";
    button.setAttribute("aria-label", isDark() ? "Light theme" : "Dark theme");
    button.title = button.getAttribute("aria-label");
  };
  const kept = keptTheme();
  if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem(THEME, root.dataset.theme);
    } catch {
      // then it holds for this visit
    }
    show();
  });
  system.addEventListener("change", show);
  show();
}
