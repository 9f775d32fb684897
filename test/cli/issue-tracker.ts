/** The example of an application with its own database, and some rows of it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";

const example = join(projectRoot, "scripts", "example", "issues");
export const readExample = (name: string): string => readFileSync(join(example, name), "utf8");
export const exampleTables = `${readExample("tables.sql")}
  INSERT INTO repositories VALUES (1, 7, 'compiler', false), (2, 8, 'website', true);
  INSERT INTO organization_members VALUES (7, 'ann', 'member'), (7, 'olga', 'owner');
  INSERT INTO repository_members VALUES (1, 'bob', 'maintainer');
  INSERT INTO issues VALUES (5, 1, 'ann', 'a crash', 100), (6, 2, 'bob', 'a typo', 200);`;
