/** The graph of the model without a browser: its nodes and edges, what grants a name, and its layout, for all policies of the tests. */
import { expect, test } from "bun:test";
import { layoutOf } from "../../src/console/ui/model/layout.ts";
import { graphOf, grantsOf, isSmall, keyOf, leadingTo, type Model } from "../../src/console/ui/model/model.ts";
import { modelReport } from "../../src/engine/validation/policy-report.ts";
import { must } from "../../src/util/assert.ts";
import { compileText } from "../polar/compile.ts";
import { hasCorpus, policyTexts } from "../polar/texts.ts";

function modelOf(text: string): Model | undefined {
  const { policy, sources } = compileText(text);
  return policy && (JSON.parse(JSON.stringify(modelReport({ policy }, sources))) as Model);
}

test("what grants a name is found on other types, and a circle of rules ends", () => {
  const model = must(
    modelOf(`
      actor User {}
      resource Folder { roles = ["a", "b"]; relations = { parent: Folder };
        "a" if "b"; "b" if "a"; "a" if "a" on "parent"; }
      resource File extends Folder { permissions = ["read"]; "read" if "a"; }`),
  );
  const readOfFile = { type: "File", kind: "permission", name: "read" } as const;
  const read = keyOf(readOfFile);
  const grants = grantsOf(model, readOfFile);
  // The role of a file is its own, whose declaration is in the folder.
  expect(grants.map(({ from, to }) => [from?.type, from?.name, to.name])).toContainEqual(["File", "a", "read"]);
  expect(leadingTo(grants, read)).toContain(keyOf({ type: "File", kind: "role", name: "a" }));
  // Rules about folders are about files too.
  expect(grants.map(({ place }) => place.line)).toEqual(expect.arrayContaining([4, 5]));
  const graph = graphOf(model, true);
  expect(graph.nodes.get(keyOf({ type: "File", kind: "role", name: "a" }))?.place?.line).toBe(3);
  const circle = grantsOf(model, { type: "Folder", kind: "role", name: "a" });
  expect(circle.map(({ to }) => to.name).toSorted()).toEqual(["a", "a", "b"]);
  expect(graphOf(model, false).nodes.has(read)).toBe(false);
  expect(graphOf(model, false, read).nodes.has(read)).toBe(true);
});

test(`every policy has a layout (${hasCorpus ? "with" : "without"} ../shared/corpus)`, () => {
  let drawn = 0;
  for (const text of policyTexts()) {
    const model = modelOf(text);
    if (model === undefined || !isSmall(model)) continue;
    const graph = graphOf(model, true);
    const { nodes, edges } = layoutOf(graph, ({ through }) => through ?? "");
    expect([nodes.length, edges.length]).toEqual([graph.nodes.size, graph.edges.length]);
    for (const { x, y } of nodes) expect(Number.isFinite(x) && Number.isFinite(y)).toBe(true);
    drawn++;
  }
  expect(drawn).toBeGreaterThan(100);
}, 60_000);
