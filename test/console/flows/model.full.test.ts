/** The model of the policy: what implies what, what grants a permission, the keyboard, and a policy with many types. */
import { expect } from "bun:test";
import { modelTexts } from "../../../src/console/ui/texts/model.ts";
import { policyTexts } from "../../../src/console/ui/texts/policy.ts";
import { flow } from "./flow.ts";

const words = modelTexts;

flow("the model shows what grants a permission, and leads to the lines of its rules", async (flow) => {
  const tab = await flow.logIn("read", "model");
  const { page } = tab;
  await tab.heading(words.title).waitFor();
  const node = (name: string, kind: keyof typeof words.kinds, type: string) =>
    page.getByRole("button", { name: words.node(name, kind, type), exact: true });
  await node("Repository", "type", "Repository").waitFor();
  for (let times = 0; times < 3; times++) await page.getByRole("button", { name: words.zoomOut, exact: true }).click();
  await node("delete", "permission", "Repository").click();
  await page.getByRole("heading", { name: words.grants(words.name("delete", "Repository")) }).waitFor();
  const grants = page.getByRole("region", { name: words.selected }).getByRole("listitem");
  const first = grants.filter({
    hasText: `${words.name("admin", "Repository")} → ${words.name("delete", "Repository")}`,
  });
  await first.waitFor();
  // What the role follows from is there too, on another type.
  await grants
    .filter({ hasText: `${words.name("admin", "Folder")} on folder` })
    .first()
    .waitFor();
  expect(await page.locator(".model-graph .node.is-leading").count()).toBeGreaterThan(2);
  expect(await page.locator(".model-graph .node.is-selected").count()).toBe(1);

  await tab.expectAccessible();
  await page.evaluate("document.activeElement.blur(); scrollTo(0, 0)");
  await tab.screenshot("model");

  // The arrow keys move the focus, and the focus selects.
  await node("delete", "permission", "Repository").focus();
  await page.keyboard.press("ArrowLeft");
  expect(await node("delete", "permission", "Repository").getAttribute("aria-pressed")).toBe("false");
  expect(await page.locator(".model-graph .node.is-selected").count()).toBe(1);

  await page.getByText(words.table).click();
  const rules = page.getByRole("region", { name: words.tableLabel });
  expect(await rules.getByRole("row").count()).toBeGreaterThan(10);
  await tab.expectAccessible();
  await node("delete", "permission", "Repository").click();
  const link = first.getByRole("link");
  const line = ((await link.innerText()).match(/\d+$/) ?? [""])[0];
  await link.click();
  await page.locator(".cm-activeLineGutter").getByText(line, { exact: true }).waitFor();
  await page.getByRole("navigation", { name: policyTexts.views }).getByRole("link", { name: words.title }).click();
  await tab.heading(words.title).waitFor();
});

flow("the permissions of a policy with thirty types are collapsed until they are wanted", async (flow) => {
  const types = Array.from({ length: 30 }, (_, index) => {
    const parent = index === 0 ? "" : `parent: T${index - 1}`;
    const inherits = index === 0 ? "" : `"owner" if "owner" on "parent";`;
    return `resource T${index} { roles = ["owner", "guest"]; permissions = ["see", "change"]; relations = { ${parent} };
      "see" if "guest"; "change" if "owner"; "guest" if "owner"; ${inherits} }`;
  });
  await flow.call("POST", "/api/policy?force=true", { src: `actor User {}\n${types.join("\n")}` });
  const tab = await flow.logIn("read", "model");
  const { page } = tab;
  const see = page.getByRole("button", { name: words.node("see", "permission", "T29"), exact: true });
  await page.getByRole("button", { name: words.node("owner", "role", "T29"), exact: true }).click();
  await page.getByRole("heading", { name: words.grants(words.name("owner", "T29")) }).waitFor();
  // From the first type on, by the relation to the parent.
  expect(await page.getByRole("region", { name: words.selected }).getByRole("listitem").count()).toBe(29);
  expect(await see.count()).toBe(0);
  await tab.expectAccessible();
  await page.getByLabel(words.permissions, { exact: true }).check();
  await see.waitFor();
});
