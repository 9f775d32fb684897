/** Names of another system as names in Polar: types in CamelCase, variables and relations as identifiers. */
import { reservedWords } from "../polar/token.ts";

/** Type names of Polar that no type of the imported model can have. */
const reservedTypes = new Set(["Actor", "Resource", "String", "Integer", "Boolean"]);

/** The Polar type of each type: `user` is `User`, `docs/team_folder` is `DocsTeamFolder`. No two types get one name. */
export function typeNames(types: readonly string[]): ReadonlyMap<string, string> {
  const taken = new Set(reservedTypes);
  return new Map(
    types.map((type) => {
      const camel = words(type)
        .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
        .join("");
      const name = unused(identifier(camel), (given) => taken.has(given), reservedTypes.has(camel) ? "Object" : "");
      taken.add(name);
      return [type, name];
    }),
  );
}

/** A name for a relation of a block. `isTaken` tells which names other relations have. */
export function relationName(name: string, isTaken: (name: string) => boolean): string {
  return unused(identifier(words(name).join("_")), isTaken, "");
}

/** A variable for a value of the type, such as `document`. */
export function variableName(name: string): string {
  const snake = words(name.replaceAll(/([a-z])([A-Z])/g, "$1_$2"))
    .join("_")
    .toLowerCase();
  const isReserved = reservedWords.has(snake) || ["actor", "on", "iff", "end"].includes(snake);
  return isReserved ? `the_${snake}` : identifier(snake);
}

function words(name: string): string[] {
  return name.split(/[^A-Za-z0-9]+/).filter((word) => word !== "");
}

function identifier(text: string): string {
  return /^[A-Za-z]/.test(text) && !reservedWords.has(text) ? text : `_${text}`;
}

function unused(name: string, isTaken: (name: string) => boolean, suffix: string): string {
  if (suffix !== "") return unused(name + suffix, isTaken, "");
  for (let number = 1; ; number += 1) {
    const candidate = number === 1 ? name : `${name}${number}`;
    if (!isTaken(candidate)) return candidate;
  }
}
