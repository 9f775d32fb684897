/** A policy has at most one global block. It has no relations, because there is no object that could be related. */
import type { Context } from "./context.ts";

export function checkGlobalBlocks({ program, report }: Context): void {
  const blocks = program.statements.filter(
    (statement) => statement.kind === "block" && statement.blockKind === "global",
  );
  const first = blocks[0];
  if (first?.kind !== "block") return;
  for (const block of blocks) {
    if (block.kind !== "block") continue;
    if (block !== first) {
      report.error("block/second-global", block.name.span, "a policy has one `global` block only", {
        hint: "merge the two blocks",
        related: [{ message: "the first one is here", span: first.name.span }],
      });
    }
    for (const section of block.sections.filter(({ name }) => name.text === "relations")) {
      report.error("block/global-relations", section.name.span, "a `global` block has no relations", {
        hint: "declare them in the block of a resource",
      });
    }
  }
}
