/** Fresh names for unnamed variables: each `_`, and the related resource in a shorthand rule. */
import type { Term } from "./syntax.ts";

/** Returns a name that the rule does not use: `wanted`, `wanted_2`, …; without an argument `_1`, `_2`, … */
export type Fresh = (wanted?: string) => string;

export function freshNames(used: Iterable<string>): Fresh {
  const taken = new Set(used);
  const counts = new Map<string, number>();
  return (wanted = "") => {
    let count = counts.get(wanted) ?? 0;
    let name: string;
    do {
      count += 1;
      name = count === 1 && wanted !== "" ? wanted : `${wanted}_${count}`;
    } while (taken.has(name));
    counts.set(wanted, count);
    taken.add(name);
    return name;
  };
}

export function variableNames(terms: Iterable<Term>): Set<string> {
  const names = new Set<string>();
  for (const term of terms) if (term.kind === "variable") names.add(term.name);
  return names;
}
