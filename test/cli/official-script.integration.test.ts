/** A script for the command line of Oso Cloud, in a shell. */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { builtBinary, projectRoot } from "../../scripts/built-binary.ts";
import { startDevNode } from "./dev-node.ts";
import { workspace } from "./workspace.ts";

const { path } = workspace();

test("a script for the official command line runs unchanged, through a link with its name", async () => {
  const node = await startDevNode([join(projectRoot, "scripts/example/policy.polar")]);
  symlinkSync(await builtBinary(), path("oso-cloud"));
  const script = `
oso-cloud clear --confirm > /dev/null
oso-cloud tell has_role User:paula "owner" Organization:org_1 > /dev/null
oso-cloud tell has_role User:greg 'member' Organization:org_1 > /dev/null
oso-cloud tell has_role User:ashley "member" Organization:org_4 > /dev/null
oso-cloud authorize User:paula "delete" Organization:org_1
oso-cloud authorize User:ashley "delete" Organization:org_4
oso-cloud authorize User:ashley delete Organization:org_4 \\
    -c "has_role User:ashley owner Organization:org_4"
oso-cloud actions User:greg Organization:org_1 | awk '{print "can " $1}'
oso-cloud delete has_role User:_ _ Organization:org_1 > /dev/null
oso-cloud get has_role _ "member" Organization:_
`;
  const child = Bun.spawn(["bash", "-c", script], {
    env: { PATH: `${path("")}:${process.env["PATH"] ?? ""}`, ...node.access },
    stderr: "pipe",
  });
  const [output, errors, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  await node.stop();
  expect({ output, errors, status }).toEqual({
    output: "Allowed\nDenied\nAllowed\ncan read\nhas_role(User:ashley, String:member, Organization:org_4)\n",
    errors: "",
    status: 0,
  });
});
