// Light, dark, or as the system has it.

export type Theme = "system" | "light" | "dark";

const PLACE = "claude-pool.theme";
const ORDER: Theme[] = ["system", "light", "dark"];

export function themeNow(): Theme {
  const kept = localStorage.getItem(PLACE) as Theme | null;
  return kept !== null && ORDER.includes(kept) ? kept : "system";
}

export function applyTheme(theme: Theme): void {
  localStorage.setItem(PLACE, theme);
  document.documentElement.dataset["theme"] = theme;
  dispatchEvent(new Event("themechange"));
}

export function nextTheme(theme: Theme): Theme {
  return ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length] ?? "system";
}
