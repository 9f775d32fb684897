/**
 * The restriction of a key's writes. The writer checks it, so that it holds for every route, and for bodies that only
 * the writer parses.
 */
import type { FactChange } from "../event/event.ts";
import type { WriteRestriction } from "../../store/keys/key-grant.ts";
import { AppError } from "../../util/app-error.ts";
import { clip } from "../../util/text-length.ts";
import type { Fact, FactPattern } from "../../store/facts/fact.ts";

type Write = { readonly kind: "batch"; readonly changes: readonly FactChange[] } | { readonly kind: string };

/**
 * Throws AppError `forbidden` unless the write changes facts only, and each fact and each pattern lies within the
 * restriction: it has one of the predicates, and each of its arguments has one of the types, or is a text, a number or a
 * boolean. An argument of a pattern that matches all types does not.
 */
export function requireRestriction(restriction: WriteRestriction, write: Write): void {
  if (!("changes" in write))
    throw new AppError("forbidden", `this API key may only change facts ${describeRestriction(restriction)}`);
  const within = membershipIn(restriction);
  for (const change of write.changes) {
    const index = changed(change).findIndex((fact) => !within(fact));
    const outside = changed(change)[index];
    if (outside === undefined) continue;
    const what = "inserts" in change ? "fact" : "delete pattern";
    throw new AppError(
      "forbidden",
      `this API key may only change facts ${describeRestriction(restriction)}, and the ${what} \`${signatureOf(outside)}\` is not one: leave it out, or use another key`,
    );
  }
}

function changed(change: FactChange): readonly (Fact | FactPattern)[] {
  return "inserts" in change ? change.inserts : change.deletes;
}

function membershipIn({ predicates, types }: WriteRestriction): (fact: Fact | FactPattern) => boolean {
  const [allowedPredicates, allowedTypes] = [predicates && new Set(predicates), types && new Set(types)];
  return ({ predicate, args }) =>
    allowedPredicates?.has(predicate) !== false &&
    (allowedTypes === undefined ||
      args.every(({ type }) => type !== null && (primitiveTypes.has(type) || allowedTypes.has(type))));
}

const primitiveTypes: ReadonlySet<string> = new Set(["String", "Integer", "Boolean"]);

/** "with the predicate `has_role` and arguments of the type `User` or `Org`" */
function describeRestriction({ predicates, types }: WriteRestriction): string {
  const parts = [
    ...(predicates === undefined ? [] : [`with the predicate ${listed(predicates)}`]),
    ...(types === undefined ? [] : [`with arguments of the type ${listed(types)}`]),
  ];
  return parts.join(" and ");
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, namesShownMax).map((name) => `\`${clip(name, nameCharactersMax)}\``);
  const more = names.length - shown.length;
  return shown.join(" or ") + (more > 0 ? ` or ${more} more` : "");
}

/** As `has_role(User, _)`: values are content, which an error does not repeat. */
function signatureOf({ predicate, args }: Fact | FactPattern): string {
  const types = args.map(({ type }) => (type === null ? "_" : clip(type, nameCharactersMax)));
  return `${clip(predicate, nameCharactersMax)}(${types.join(", ")})`;
}

const [namesShownMax, nameCharactersMax] = [5, 60];
