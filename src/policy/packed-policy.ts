/**
 * A compiled policy as bytes that threads share, so that one thread compiles it for all. What the classes of a policy
 * have besides data is made again when it is unpacked.
 */
import { deserialize, serialize } from "node:v8";
import { type Signature, SignatureList } from "../datalog/ir/signature.ts";
import { createUniverse } from "../datalog/ir/universe.ts";
import { programOf } from "../datalog/rewrite/normalise.ts";
import type { ActivePolicy } from "./active-policy.ts";

/** What `packPolicy` has written. */
export type PackedPolicy = Uint8Array<SharedArrayBuffer>;

interface Content extends Omit<ActivePolicy, "universe" | "program" | "signatures"> {
  readonly rules: ActivePolicy["program"]["rules"];
  readonly signatures: readonly (readonly [predicate: string, signatures: readonly Signature[]])[];
}

export function packPolicy({ universe: _universe, program, signatures, ...data }: ActivePolicy): PackedPolicy {
  const content: Content = {
    ...data,
    rules: program.rules,
    signatures: [...signatures].map(([predicate, list]) => [predicate, list.all()]),
  };
  const bytes = serialize(content);
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.byteLength));
  shared.set(bytes);
  return shared;
}

/** `packed` must come from this process: it is not checked. */
export function unpackPolicy(packed: PackedPolicy): ActivePolicy {
  // Neither runtime reads shared memory here.
  const { rules, signatures, ...data } = deserialize(new Uint8Array(packed)) as Content;
  const lists = signatures.map(([predicate, all]): [string, SignatureList] => {
    const list = new SignatureList();
    for (const signature of all) list.add(signature);
    return [predicate, list];
  });
  return {
    ...data,
    universe: createUniverse(data.policy),
    program: programOf(rules),
    signatures: new Map(lists),
  };
}
