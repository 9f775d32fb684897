/** The ways to log in: an API key, the account of a person, and the link of `ostiary dev`. */
import { afterAll, describe, expect } from "bun:test";
import type { Page } from "playwright-core";
import { startTexts } from "../../../src/console/ui/texts/start.ts";
import { texts } from "../../../src/console/ui/texts.ts";
import { loginTexts } from "../../../src/console/ui/texts/login.ts";
import { factsTexts } from "../../../src/console/ui/texts/facts.ts";
import { overviewTexts } from "../../../src/console/ui/texts/overview.ts";
import { policyTexts } from "../../../src/console/ui/texts/policy.ts";
import { clientId, person, startIdentityProvider } from "../../cli/identity-provider.ts";
import { startDevProcess } from "../../cli/dev-node.ts";
import { adminKey } from "../../replication/cluster.ts";
import { untrustedHost } from "./browser.ts";
import { flow, type Flow } from "./flow.ts";

/** What the browser keeps: local storage, session storage and cookies. */
async function storedIn(page: Page): Promise<readonly [object, Record<string, string>, string]> {
  const text = await page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])");
  return JSON.parse(String(text)) as [object, Record<string, string>, string];
}

describe("a key", () => {
  flow("lets in, stays in the tab only, and is forgotten", async (flow) => {
    const tab = await flow.tab();
    const { page } = tab;
    await tab.logIn("e_test_wrong_0123456789abcdef0123456789abcdef");
    await page.getByText("this API key is not valid here").waitFor();
    await tab.expectAccessible();
    await tab.logIn(adminKey);
    await tab.heading(overviewTexts.title).waitFor();
    expect(page.url()).not.toContain(adminKey);
    const [local, session, cookie] = await storedIn(page);
    expect([local, cookie]).toEqual([{}, ""]);
    expect(Object.values(session).join()).toContain(adminKey);
    await page.reload();
    await tab.heading(overviewTexts.title).waitFor();
    const other = await page.context().newPage();
    await other.goto(`${flow.url}/console/`);
    await other.getByRole("heading", { level: 1, name: loginTexts.title }).waitFor();
    await page.getByRole("button", { name: texts.account.logOut }).click();
    await tab.heading(loginTexts.title).waitFor();
    expect(JSON.stringify(await storedIn(page))).not.toContain(adminKey);
  });

  flow("shows its name as text, and nothing that it cannot use", async (flow) => {
    const name = `<script>document.title = "run"</script><b>x</b>`;
    const tab = await flow.logIn("read", "", { name });
    const { page } = tab;
    await page.getByText(texts.account.who(name, "read")).waitFor();
    await tab.heading(overviewTexts.title).waitFor();
    // It changes some time after the heading.
    await tab.until(`document.title === ${JSON.stringify(texts.title(overviewTexts.title))}`);
    expect(await page.getByRole("heading", { name: overviewTexts.environments }).count()).toBe(0);
  });

  flow("works over plain HTTP from another machine as well", async (flow) => {
    const url = flow.url.replace("127.0.0.1", untrustedHost);
    const tab = await flow.tab(url);
    await tab.logIn(adminKey);
    await tab.heading(overviewTexts.title).waitFor();
  });
});

const provider = await startIdentityProvider(300);
afterAll(() => provider[Symbol.asyncDispose]());
const issuerFlags = {
  "oidc.issuer": provider.url,
  "oidc.audience": clientId,
  "oidc.clientId": clientId,
  "oidc.scopes": "openid email groups offline_access",
  "oidc.write": "writers",
};

describe("a person", () => {
  flow(
    "logs in at the issuer, and comes back to the screen of the link",
    async (flow) => {
      const tab = await flow.tab(flow.url, { others: [provider.url] });
      const { page } = tab;
      await tab.open("overview?from=link");
      await page.getByRole("button", { name: loginTexts.issuer(new URL(provider.url).host) }).click();
      await page.getByText(texts.account.who(person.email, "write")).waitFor();
      await tab.heading(overviewTexts.title).waitFor();
      expect(page.url()).toBe(`${flow.url}/console/#/overview?from=link`);
      const [local, session] = await storedIn(page);
      expect([local, Object.keys(session)]).toEqual([{}, ["ostiary-session"]]);
      await page.goBack();
      await page.goForward();
      expect(page.url()).not.toContain("code=");
    },
    { flags: issuerFlags },
  );

  flow(
    "is not logged in by an answer that the tab did not ask for",
    async (flow) => {
      const tab = await flow.tab();
      await tab.page.goto(`${flow.url}/console/?code=stolen&state=other`);
      await tab.page.getByText(loginTexts.foreignAnswer).waitFor();
      expect(tab.page.url()).toBe(`${flow.url}/console/#/`);
    },
    { flags: issuerFlags },
  );
});

describe("the link of `ostiary dev`", () => {
  flow(
    "logs in once, and leaves no code in the address",
    async (flow) => {
      const node = await startDevProcess([]);
      try {
        const tab = await flow.tab(node.url);
        await tab.page.goto(node.console);
        // An empty environment begins with samples.
        await tab.heading(startTexts.title).waitFor();
        expect(tab.page.url()).toBe(`${node.url}/console/#/start`);
        await tab.page.getByRole("button", { name: /^Load/ }).first().click();
        await tab.page.getByText(startTexts.denied, { exact: true }).first().waitFor();
        const other = await flow.tab(node.url);
        await other.page.goto(node.console);
        await other.page.getByText("this login code is wrong, was used, or has expired").waitFor();
        expect(other.page.url()).toBe(`${node.url}/console/#/`);
      } finally {
        await node.stop();
      }
    },
    { loaded: false },
  );
});

describe("a login that the node does not accept any more", () => {
  flow("stays in its environment, keeps what was typed, and sends nothing elsewhere", async (flow) => {
    const { token: admin } = (await flow.call("POST", "/api/environments", { id: "e1", copy_of: "test" })) as Made;
    const [first, second] = [await keyOf(flow, admin), await keyOf(flow, admin)];
    const tab = await flow.logIn("write", "facts");
    const { page } = tab;
    const environment = page.getByLabel(texts.account.environment, { exact: true });
    await environment.selectOption(texts.account.otherEnvironment);
    await page.getByLabel(loginTexts.credential).fill(first.token);
    await page.getByRole("button", { name: loginTexts.submit }).click();
    await tab.heading(factsTexts.title).waitFor();
    expect(await environment.inputValue()).toBe("e1");

    const input = page.getByLabel(factsTexts.insert.fact, { exact: true });
    const submit = page.getByRole("button", { name: factsTexts.insert.submit("e1"), exact: true });
    await input.fill(draft);
    await asAdmin(flow, admin, "DELETE", `/api/keys/${first.id}`);
    await submit.click();
    const dialog = page.getByRole("dialog", { name: loginTexts.lost.title("e1") });
    await dialog.waitFor();
    await tab.expectAccessible();
    for (let times = 0; times < 4; times++) await page.keyboard.press("Escape");
    expect(await dialog.isVisible()).toBe(true);
    expect(await environment.inputValue()).toBe("e1");

    // A reload keeps that as well.
    await page.reload();
    await dialog.waitFor();
    expect(await environment.inputValue()).toBe("e1");
    await dialog.getByLabel(loginTexts.credential).fill(adminKey);
    await dialog.getByRole("button", { name: loginTexts.submit }).click();
    await dialog.getByText(loginTexts.wrongEnvironment("test", "e1")).waitFor();
    await dialog.getByLabel(loginTexts.credential).fill(second.token);
    await dialog.getByRole("button", { name: loginTexts.submit }).click();
    await dialog.waitFor({ state: "detached" });

    await input.fill(draft);
    await asAdmin(flow, admin, "DELETE", `/api/keys/${second.id}`);
    await submit.click();
    await dialog.waitFor();
    const third = await keyOf(flow, admin);
    await dialog.getByLabel(loginTexts.credential).fill(third.token);
    await dialog.getByRole("button", { name: loginTexts.submit }).click();
    await dialog.waitFor({ state: "detached" });
    expect(await input.inputValue()).toBe(draft);
    await submit.click();
    await page.getByText(factsTexts.changes.inserted, { exact: true }).waitFor();
    const query = "/api/facts?predicate=has_role&args.0.type=User&args.0.id=zoe";
    expect(await flow.call("GET", query)).toEqual([]);
    expect(await asAdmin(flow, admin, "GET", query)).toMatchObject([{ predicate: "has_role" }]);

    // Only a choice leads to another environment, and to its first screen.
    await asAdmin(flow, admin, "DELETE", `/api/keys/${third.id}`);
    await page.getByRole("button", { name: factsTexts.changes.undoOf(draft) }).click();
    await dialog.waitFor();
    await dialog.getByRole("button", { name: loginTexts.lost.show("test") }).click();
    await tab.heading(overviewTexts.title).waitFor();
    expect(await environment.inputValue()).toBe("test");
  });

  flow("that has expired waits for the next one on the same screen", async (flow) => {
    const { token } = (await flow.call("POST", "/api/keys", {
      ...{ name: "short", grant: { role: "read", expires: "3s" } },
    })) as Made;
    const tab = await flow.tab();
    const { page } = tab;
    await tab.logIn(token);
    const dialog = page.getByRole("dialog", { name: loginTexts.lost.title("test") });
    await dialog.waitFor();
    await dialog.getByLabel(loginTexts.credential).fill(adminKey);
    await dialog.getByRole("button", { name: loginTexts.submit }).click();
    await dialog.waitFor({ state: "detached" });
    await page.getByText(overviewTexts.noProblems).waitFor();
  });

  flow("keeps the draft of the policy for the next login", async (flow) => {
    const [first, second] = [await keyOf(flow, adminKey), await keyOf(flow, adminKey)];
    const tab = await flow.tab();
    await tab.logIn(first.token);
    await tab.open("policy");
    const editor = tab.page.getByRole("textbox", { name: policyTexts.code("policy.polar") });
    await editor.click();
    await tab.page.keyboard.press("Control+Home");
    await tab.page.keyboard.type("# a thought\n");
    await flow.call("DELETE", `/api/keys/${first.id}`);
    const dialog = tab.page.getByRole("dialog", { name: loginTexts.lost.title("test") });
    await tab.page.reload();
    await dialog.getByLabel(loginTexts.credential).fill(second.token);
    await dialog.getByRole("button", { name: loginTexts.submit }).click();
    await dialog.waitFor({ state: "detached" });
    await tab.page.getByText("# a thought").waitFor();
    // The next person does not see it.
    await tab.page.getByRole("button", { name: texts.account.logOut }).click();
    const third = await keyOf(flow, adminKey);
    await tab.logIn(third.token);
    await tab.open("policy");
    await editor.waitFor();
    expect(await tab.page.getByText("# a thought").count()).toBe(0);
  });
});

interface Made {
  readonly id: string;
  readonly token: string;
}

const draft = 'has_role(User:zoe, "reader", Repository:website)';

/** A new key that may write, in the environment of the admin key. */
async function keyOf(flow: Flow, admin: string): Promise<Made> {
  return (await asAdmin(flow, admin, "POST", "/api/keys", { name: "writer", role: "write" })) as Made;
}

async function asAdmin(flow: Flow, admin: string, method: string, path: string, body?: unknown): Promise<unknown> {
  const response = await fetch(flow.url + path, {
    method,
    headers: { authorization: `Bearer ${admin}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  expect(response.ok).toBe(true);
  return response.json();
}
