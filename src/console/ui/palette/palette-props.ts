/** What the command palette shows entries for. */
import type { ScreenEntry } from "../screens/screen-list.ts";
import type { Login } from "../state/session.ts";

export interface PaletteProps {
  readonly login: Login;
  readonly screens: readonly ScreenEntry[];
}
