/** The report: a table for people and numbers for programs. */
import { cpus, loadavg, release, totalmem, type as system } from "node:os";
import { describeGoal, goals, meets } from "./goals.ts";

export interface Row {
  readonly what: string;
  readonly value: string;
  /** The measured value divided by its baseline in the same run, which is comparable between machines. */
  readonly ratio?: { readonly name: string; readonly value: number };
  /** Whether a goal that is not one of a ratio is missed. */
  readonly isMissed?: boolean;
}

export interface Section {
  readonly title: string;
  readonly rows: readonly Row[];
}

export function renderSections(sections: readonly Section[]): string {
  const rows = sections.flatMap((section) => section.rows);
  const whatWidth = Math.max(...rows.map(({ what }) => what.length));
  const valueWidth = Math.max(...rows.map(({ value }) => value.length));
  return sections
    .map(({ title, rows: own }) => {
      const lines = own.map(({ what, value, ratio, isMissed = false }) => {
        const line = `  ${what.padEnd(whatWidth)}  ${value.padStart(valueWidth)}${isMissed ? "  missed" : ""}`;
        return ratio === undefined ? line : `${line}  ${formatRatio(ratio.value).padStart(7)}  ${nameAndGoal(ratio)}`;
      });
      return `${title}\n${lines.join("\n")}\n`;
    })
    .join("\n");
}

/** All ratios that have goals. */
export function goalSection(sections: readonly Section[]): Section {
  const ratios = ratiosOf(sections);
  return {
    title: "the goals",
    rows: Object.entries(goals).map(([name, goal]) => {
      const value = ratios[name];
      return {
        what: name,
        value: value === undefined ? "not measured" : `${formatRatio(value)}  ${describeGoal(value, goal)}`,
      };
    }),
  };
}

/** The goals that were measured and missed, by the names of the ratios or the texts of the rows. */
export function missedGoals(sections: readonly Section[]): readonly string[] {
  return sections
    .flatMap(({ rows }) => rows)
    .flatMap(({ what, ratio, isMissed = false }) => {
      const goal = ratio && goals[ratio.name];
      if (ratio !== undefined && goal !== undefined && !meets(ratio.value, goal)) return [ratio.name];
      return isMissed ? [what.trim()] : [];
    });
}

function nameAndGoal({ name, value }: NonNullable<Row["ratio"]>): string {
  const goal = goals[name];
  return goal === undefined ? name : `${name}  ${describeGoal(value, goal)}`;
}

export function ratiosOf(sections: readonly Section[]): Record<string, number> {
  const ratios = sections.flatMap(({ rows }) => rows.flatMap(({ ratio }) => (ratio === undefined ? [] : [ratio])));
  return Object.fromEntries(ratios.map(({ name, value }) => [name, Number(value.toPrecision(4))]));
}

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly system: string;
  /** The load average of the last minute. If it exceeds the number of cores, waiting looks like work. */
  readonly load: number;
}

export function describeMachine(): Machine {
  const processors = cpus();
  return {
    processor: processors[0]?.model.trim() ?? "unknown processor",
    cores: processors.length,
    memoryGb: Math.round(totalmem() / 1e9),
    system: `${system()} ${release()}`,
    load: Number((loadavg()[0] ?? 0).toFixed(1)),
  };
}

const formatRatio = (ratio: number): string => (ratio >= 100 ? ratio.toFixed(0) : ratio.toPrecision(3));

export const perSecond = (rate: number, what: string): string => `${Math.round(rate).toLocaleString("en")} ${what}/s`;

export function duration(milliseconds: number): string {
  const size = Math.abs(milliseconds);
  if (size >= 1) return `${milliseconds.toFixed(2)} ms`;
  return `${(milliseconds * 1000).toFixed(size >= 0.1 ? 0 : 1)} µs`;
}

export const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

export const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;

export const count = (number: number): string => number.toLocaleString("en");
