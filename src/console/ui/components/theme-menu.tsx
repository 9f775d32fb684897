/** The choice of colours. */
import { chooseTheme, chosenTheme, type Theme, themes } from "../state/theme.ts";
import { useStore } from "../store.ts";
import { texts } from "../texts.ts";

export function ThemeMenu() {
  const chosen = useStore(chosenTheme);
  return (
    <select
      aria-label={texts.theme.label}
      value={chosen}
      onChange={({ currentTarget }) => chooseTheme(currentTarget.value as Theme)}
    >
      {themes.map((theme) => (
        <option key={theme} value={theme}>
          {texts.theme[theme]}
        </option>
      ))}
    </select>
  );
}
