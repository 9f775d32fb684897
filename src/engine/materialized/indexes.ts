/**
 * Which orders of a fact table the rules of a policy can use: one for each argument from which a join may come, led by it, then the
 * arguments that rules fix to constants, then the rest. Where the same thing is asked for with one of several constants (any of three roles), such
 * an argument comes last: then one look finds all of them. The primary key already gives the order of the arguments themselves.
 */
import type { Constant, DatalogProgram, ProgramLiteral, ProgramRule, ProgramTerm } from "../../datalog/ir/program.ts";
import { literalVariables } from "../../datalog/ir/program.ts";
import { sequenceKey, typeSetKey, valueKey } from "../request/keys.ts";
import { must } from "../../util/assert.ts";

interface ArgumentUse {
  readonly arity: number;
  /** Places whose value can be known before the fact is read. */
  readonly joined: Set<number>;
  readonly constant: Set<number>;
  /** By place and by the types of the arguments, the constants that rules ask for. */
  readonly constants: Map<string, Set<string>>;
  /** Places where one of several is asked for. */
  readonly several: Set<number>;
  /** Places that hold something other than texts, numbers and truth values. */
  readonly objects: Set<number>;
}

const primitives: ReadonlySet<string> = new Set(["String", "Integer", "Boolean"]);

/** By predicate key, the orders in which its facts are kept beside their own: column numbers from 0. */
export type Orders = ReadonlyMap<string, readonly (readonly number[])[]>;

export function indexOrders(program: DatalogProgram): Orders {
  const uses = new Map<string, ArgumentUse>();
  for (const rule of program.rules) {
    for (const call of calls(rule.body)) {
      const use = uses.get(call.predicate) ?? newUse(call.args.length);
      uses.set(call.predicate, use);
      call.args.forEach((arg, position) => {
        if (arg.kind !== "var") {
          use.constant.add(position);
          if (arg.kind === "const" && addConstant(use, call, rule, position, arg.value.id) > 1)
            use.several.add(position);
        } else if (isShared(arg.index, call, rule)) use.joined.add(position);
        const types = arg.kind === "var" ? rule.types[arg.index] : primitives;
        if (!types || [...types].some((type) => !primitives.has(type))) use.objects.add(position);
      });
    }
  }
  handOn(program, uses);
  return new Map([...uses].map(([predicate, use]) => [predicate, ordersOf(use)]));
}

/** Who asks a rule for one of several constants asks its body for the same. */
function handOn(program: DatalogProgram, uses: ReadonlyMap<string, ArgumentUse>): void {
  const rules = Map.groupBy(program.rules, ({ predicate }) => predicate);
  const asked = [...uses].flatMap(([predicate, { several }]) =>
    [...several].map((position) => ({ predicate, position })),
  );
  // Grows while it is gone through, by each place once.
  for (const { predicate, position } of asked) {
    for (const { head, body } of rules.get(predicate) ?? []) {
      const term = head[position];
      if (term?.kind !== "var") continue;
      for (const call of calls(body)) {
        const { several } = must(uses.get(call.predicate));
        for (const [place, arg] of call.args.entries()) {
          if (arg.kind !== "var" || arg.index !== term.index || several.has(place)) continue;
          several.add(place);
          asked.push({ predicate: call.predicate, position: place });
        }
      }
    }
  }
}

/** By predicate key and place, the distinct constants that rules ask for. */
export function askedConstants(program: DatalogProgram): Map<string, Map<number, readonly Constant[]>> {
  const asked = new Map<string, Map<number, Map<string, Constant>>>();
  for (const { predicate, args } of program.rules.flatMap((rule) => calls(rule.body))) {
    const places = entryOf(asked, predicate, () => new Map<number, Map<string, Constant>>());
    for (const [position, arg] of args.entries()) {
      if (arg.kind !== "const") continue;
      entryOf(places, position, () => new Map<string, Constant>()).set(valueKey(arg.value), arg.value);
    }
  }
  return new Map(
    [...asked].map(([predicate, places]) => [
      predicate,
      new Map([...places].map(([position, values]) => [position, [...values.values()]])),
    ]),
  );
}

function entryOf<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}

function newUse(arity: number): ArgumentUse {
  return {
    arity,
    joined: new Set(),
    constant: new Set(),
    constants: new Map(),
    several: new Set(),
    objects: new Set(),
  };
}

/**
 * A place that rules also fix to constants, or that holds a plain value beside an object, such as the name of a role beside the resource: it
 * has too few values to lead an index, and SQLite would take that index all the same. Of two that are equally good it takes the one that was made
 * last: led by the first argument, mostly an actor, whose facts a question reads anyway.
 */
function ordersOf({ arity, joined, constant, several, objects }: ArgumentUse): number[][] {
  const columns = Array.from({ length: arity }, (_, column) => column);
  const leading = [...joined].filter((first) => !constant.has(first));
  const beside = leading.some((first) => first !== 0 && objects.has(first));
  return leading
    .filter((first) => (first === 0 ? several.size > 0 : objects.has(first) || !beside))
    .sort((left, right) => right - left)
    .map((first) => [
      first,
      ...columns.filter((column) => column !== first && constant.has(column) && !several.has(column)),
      ...columns.filter((column) => column !== first && !constant.has(column) && !several.has(column)),
      ...columns.filter((column) => column !== first && several.has(column)),
    ])
    .filter((order) => order.some((column, place) => column !== place));
}

/** How many constants there are now, for the same place beside the same types. */
function addConstant(
  { constants }: ArgumentUse,
  call: CallLiteral,
  rule: ProgramRule,
  position: number,
  id: string,
): number {
  const typeKey = (arg: ProgramTerm): string => (arg.kind === "var" ? typeSetKey(rule.types[arg.index]) : arg.kind);
  const key = `${position} ${sequenceKey(call.args, typeKey)}`;
  const known = constants.get(key) ?? new Set();
  constants.set(key, known.add(id));
  return known.size;
}

type CallLiteral = Extract<ProgramLiteral, { kind: "call" }>;

function calls(body: readonly ProgramLiteral[]): CallLiteral[] {
  return body.flatMap((literal) => {
    if (literal.kind === "call") return [literal];
    return literal.kind === "not" ? calls(literal.body) : [];
  });
}

/** True where the variable can be known from somewhere else than this call: the head, another call, a condition. */
function isShared(variable: number, call: CallLiteral, rule: ProgramRule): boolean {
  if (rule.head.some((term) => term.kind === "var" && term.index === variable)) return true;
  const mentions = rule.body.flatMap(literalVariables).filter((index) => index === variable).length;
  return mentions > call.args.filter((arg) => arg.kind === "var" && arg.index === variable).length;
}
