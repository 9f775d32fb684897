/** The colours of the console: those of the system, unless somebody chooses others in this browser. */
import { Store } from "../store.ts";

export const themes = ["system", "light", "dark"] as const;
export type Theme = (typeof themes)[number];

/** A choice of colours is no secret, so it is kept in local storage. */
const storageKey = "ostiary-theme";
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");

export const chosenTheme = new Store<Theme>(storedTheme());
/** The colours that are shown. */
export const shownTheme = new Store<"light" | "dark">("light");

/** Applies the theme, and follows that of the system. */
export function startTheme(): void {
  systemIsDark.addEventListener("change", apply);
  apply();
}

export function chooseTheme(theme: Theme): void {
  localStorage.setItem(storageKey, theme);
  chosenTheme.set(theme);
  apply();
}

function apply(): void {
  const chosen = chosenTheme.value;
  const shown = chosen === "system" ? (systemIsDark.matches ? "dark" : "light") : chosen;
  document.documentElement.dataset["theme"] = shown;
  shownTheme.set(shown);
}

function storedTheme(): Theme {
  const stored = localStorage.getItem(storageKey);
  return themes.find((theme) => theme === stored) ?? "system";
}
