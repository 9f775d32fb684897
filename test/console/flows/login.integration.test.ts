/** The ways to log in: an API key, the account of a person, and the link of `ostiary dev`. */
import { afterAll, describe, expect } from "bun:test";
import type { Page } from "playwright-core";
import { texts } from "../../../src/console/ui/texts.ts";
import { loginTexts } from "../../../src/console/ui/texts/login.ts";
import { overviewTexts } from "../../../src/console/ui/texts/overview.ts";
import { clientId, person, startIdentityProvider } from "../../cli/identity-provider.ts";
import { startDevProcess } from "../../cli/dev-node.ts";
import { adminKey } from "../../replication/cluster.ts";
import { untrustedHost } from "./browser.ts";
import { flow } from "./flow.ts";

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
      const tab = await flow.tab(flow.url, [provider.url]);
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
        await tab.heading(overviewTexts.title).waitFor();
        expect(tab.page.url()).toBe(`${node.url}/console/#/`);
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
