/**
 * Warnings about settings of 0.1.0 that this release still accepts. Many from one place share a warning, because a copy
 * of the reference file of 0.1.0 has more than a hundred.
 */
import type { Setting } from "./settings.ts";

export interface DeprecatedSetting {
  readonly setting: Setting;
  /** The name under which it has a value. */
  readonly name: string;
  /** Where it has one: "the flag --port". */
  readonly from: string;
  readonly isConstant: boolean;
}

/** More of one kind and from one place than these share a warning. */
const warnedAlone = 3;

export function deprecationWarnings(found: readonly DeprecatedSetting[]): string[] {
  const groups = Map.groupBy(found, ({ from, isConstant }) => `${isConstant} ${from}`);
  return [...groups.values()].flatMap((group) =>
    group.length > warnedAlone ? [warningOfAll(group)] : group.map(warningOf),
  );
}

function warningOf({ setting, name, from, isConstant }: DeprecatedSetting): string {
  return isConstant
    ? `${name} from ${from} is no setting any more, its value is a constant; 0.3.0 does not accept it`
    : `${name} from ${from} is the old name of ${setting.name} (${setting.variable}, ${setting.flag}); the next release does not accept it`;
}

function warningOfAll(group: readonly DeprecatedSetting[]): string {
  const [{ from = "", isConstant = false } = {}] = group;
  const what = `${group.length} settings from ${from}`;
  return isConstant
    ? `${what} are no settings any more, their values are constants; remove them, 0.3.0 does not accept them: ${group.map(({ name }) => name).join(", ")}`
    : `${what} have old names; the next release does not accept them: ${group.map(({ name, setting }) => `${name} is now ${setting.name}`).join(", ")}`;
}
