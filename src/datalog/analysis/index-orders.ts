/**
 * The indexes of the fact tables that the rules of a policy can use: one for each argument by which a join may find
 * facts. An index begins with this argument, followed by the arguments that rules fix to constants, and then the rest.
 * If rules ask for one of several constants (any of three roles), that argument comes last, so that one lookup finds
 * all of them. The primary key already gives the order of the arguments themselves.
 */
import { constantKey, listKey, numberKey, typeSetKey } from "../ir/key.ts";
import {
  type Constant,
  type DatalogProgram,
  literalVariables,
  type ProgramCall,
  programCalls,
  type ProgramRule,
} from "../ir/program.ts";
import { must } from "../../util/assert.ts";

interface ArgumentUse {
  readonly arity: number;
  /** Positions whose value can be known before the fact is read. */
  readonly joined: Set<number>;
  readonly constant: Set<number>;
  /** The constants that rules ask for, by position and types of the arguments. */
  readonly constants: Map<string, Set<string>>;
  /** Positions where rules ask for one of several constants. */
  readonly several: Set<number>;
  /** Positions that hold values other than strings, integers and booleans. */
  readonly objects: Set<number>;
}

const primitives: ReadonlySet<string> = new Set(["String", "Integer", "Boolean"]);

/** The column orders of the indexes, by predicate key: column numbers from 0. */
export type Orders = ReadonlyMap<string, readonly (readonly number[])[]>;

export function indexOrders(program: DatalogProgram): Orders {
  const uses = new Map<string, ArgumentUse>();
  for (const rule of program.rules) {
    for (const { call } of programCalls(rule.body)) {
      const use = uses.getOrInsertComputed(call.predicate, () => newUse(call.args.length));
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
  propagateSeveral(program, uses);
  return new Map([...uses].map(([predicate, use]) => [predicate, ordersOf(use)]));
}

/** A call that asks a rule for one of several constants makes its body ask for the same. */
function propagateSeveral(program: DatalogProgram, uses: ReadonlyMap<string, ArgumentUse>): void {
  const rules = Map.groupBy(program.rules, ({ predicate }) => predicate);
  const asked = [...uses].flatMap(([predicate, { several }]) =>
    [...several].map((position) => ({ predicate, position })),
  );
  // The loop adds to this list, each position once.
  for (const { predicate, position } of asked) {
    for (const { head, body } of rules.get(predicate) ?? []) {
      const term = head[position];
      if (term?.kind !== "var") continue;
      for (const { call } of programCalls(body)) {
        const { several } = must(uses.get(call.predicate));
        for (const [argument, arg] of call.args.entries()) {
          if (arg.kind !== "var" || arg.index !== term.index || several.has(argument)) continue;
          several.add(argument);
          asked.push({ predicate: call.predicate, position: argument });
        }
      }
    }
  }
}

/** The distinct constants that rules ask for, by predicate key, position and constant key. */
export function askedConstants(program: DatalogProgram): Map<string, Map<number, Map<string, Constant>>> {
  const asked = new Map<string, Map<number, Map<string, Constant>>>();
  for (const { call } of program.rules.flatMap((rule) => [...programCalls(rule.body)])) {
    const byPosition = asked.getOrInsertComputed(call.predicate, () => new Map());
    for (const [position, arg] of call.args.entries()) {
      if (arg.kind !== "const") continue;
      byPosition.getOrInsertComputed(position, () => new Map()).set(constantKey(arg.value), arg.value);
    }
  }
  return asked;
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
 * An argument that rules also fix to constants, or that holds a primitive value beside an object (such as the name of a
 * role beside the resource), has too few values to lead an index, but SQLite would use that index all the same. Of two
 * equally good indexes SQLite uses the one that was created last: the index led by the first argument, mostly an actor,
 * whose facts a query reads anyway.
 */
function ordersOf({ arity, joined, constant, several, objects }: ArgumentUse): number[][] {
  const columns = Array.from({ length: arity }, (_, column) => column);
  const leading = [...joined].filter((first) => !constant.has(first));
  const objectJoins = leading.some((first) => first !== 0 && objects.has(first));
  return leading
    .filter((first) => (first === 0 ? several.size > 0 : objects.has(first) || !objectJoins))
    .sort((left, right) => right - left)
    .map((first) => [
      first,
      ...columns.filter((column) => column !== first && constant.has(column) && !several.has(column)),
      ...columns.filter((column) => column !== first && !constant.has(column) && !several.has(column)),
      ...columns.filter((column) => column !== first && several.has(column)),
    ])
    .filter((order) => order.some((column, position) => column !== position));
}

/** Adds a constant, and returns how many there are at the same position with the same argument types. */
function addConstant(
  { constants }: ArgumentUse,
  call: ProgramCall,
  rule: ProgramRule,
  position: number,
  id: string,
): number {
  const types = call.args.map((arg) => (arg.kind === "var" ? typeSetKey(rule.types[arg.index]) : arg.kind));
  const key = numberKey(position) + listKey(types);
  return constants.getOrInsertComputed(key, () => new Set()).add(id).size;
}

/** Whether the variable can get its value outside of this call: from the head, another call or a condition. */
function isShared(variable: number, call: ProgramCall, rule: ProgramRule): boolean {
  if (rule.head.some((term) => term.kind === "var" && term.index === variable)) return true;
  const mentions = rule.body.flatMap(literalVariables).filter((index) => index === variable).length;
  return mentions > call.args.filter((arg) => arg.kind === "var" && arg.index === variable).length;
}
