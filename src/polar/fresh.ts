/** Names for the variables that nobody named: `_` in the text, and the related resource in a shorthand rule. */
import type { Expression, Term } from "./syntax.ts";
import { termsOf } from "./walk.ts";

/** Gives `_1`, `_2`, …, leaving out what the rule uses itself. */
export type Fresh = () => string;

export function freshNames(terms: readonly Term[], body: Expression | undefined): Fresh {
  const used = new Set<string>();
  for (const term of [...terms, ...(body ? termsOf(body) : [])]) {
    if (term.kind === "variable" && /^_\d+$/.test(term.name)) used.add(term.name);
  }
  let count = 0;
  return () => {
    do count += 1;
    while (used.has(`_${count}`));
    return `_${count}`;
  };
}
