/** Which programs of the system a test file or script needs. */
import { expect, test } from "bun:test";
import { toolsOf } from "../../scripts/test-tools.ts";

const namesOf = (...files: string[]): string[] => toolsOf(files).map(({ name }) => name);

test("a test file or script needs the programs that it or its imports name", () => {
  expect(namesOf("test/e2e/failover.integration.test.ts")).toEqual(["etcd", "mosquitto"]);
  expect(namesOf("test/e2e/reconcile.integration.test.ts")).toEqual(["initdb", "mariadbd"]);
  expect(namesOf("test/console/flows/login.integration.test.ts")).toContain("chromium");
  expect(namesOf("test/kubernetes/manifests.integration.test.ts")).toContain("kubectl");
  expect(namesOf("test/cli/completion.test.ts")).toEqual(["fish", "groff", "mandoc", "zsh"]);
  expect(namesOf("scripts/chaos.ts")).toEqual(["cc", "etcd", "faketime", "ip", "mosquitto"]);
  expect(namesOf("test/hostile/threat-model.test.ts")).toEqual([]);
  expect(() => namesOf("mosquitto")).toThrow("there is no file mosquitto");
});
