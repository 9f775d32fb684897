/** Schemas and models that are as large as the translation allows. */
import { expect, test } from "bun:test";
import { fromOpenFga, fromSpiceDb } from "./translate-files.ts";

test("thousands of relations of SpiceDB are translated", () => {
  const permissions = Array.from({ length: 5000 }, (_, index) => `permission r${index + 1} = r${index}\n`).join("");
  const { policy, errors } = fromSpiceDb({
    "schema.zed": `definition user {}\ndefinition doc {\nrelation r0: user\n${permissions}}`,
  });
  expect(errors).toEqual([]);
  expect(policy).toContain('"r5000" if "r4999";');
});

test("thousands of relations of OpenFGA, with many ways through them, are translated", () => {
  const relations = Array.from({ length: 1000 }, (_, index) => {
    const [one, other] = [`a${index}`, `b${index}`];
    return `    define a${index + 1}: ${one} and ${other}\n    define b${index + 1}: ${one} or ${other}\n`;
  });
  const { policy, errors } = fromOpenFga({
    "model.fga": `model\n  schema 1.1\ntype user\ntype doc\n  relations\n    define a0: [user]\n    define b0: [user]\n${relations.join("")}`,
  });
  expect(errors).toEqual([]);
  expect(policy).toContain('"a1000" if "a999" and "b999";');
});

test("a schema whose policy would be too long is refused with its line", () => {
  const schema = `${Array.from({ length: 1000 }, (_, index) => `definition g${index} { relation m: g0 }\n`).join("")}definition doc {
 relation to: ${Array.from({ length: 1000 }, (_, index) => `g${index}`).join(" | ")}
 permission all = ${Array(100).fill("to->m").join(" & ")}
}`;
  expect(() => fromSpiceDb({ "schema.zed": schema })).toThrow(
    "schema.zed:1003: here the policy becomes longer than 4 MiB",
  );
});
