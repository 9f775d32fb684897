/** Chromium for the tests of the console: tabs that report what must not happen, and checks that hold of every screen. */
import { expect } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import axe from "axe-core";
import { type Browser, chromium, type Locator, type Page } from "playwright-core";
import { projectRoot } from "../../../scripts/built-binary.ts";
import { texts } from "../../../src/console/ui/texts.ts";
import { programPath } from "../../e2e/program.ts";
import { eventually } from "../../replication/cluster.ts";
import { filterTexts } from "../../../src/console/ui/texts/filters.ts";
import { loginTexts } from "../../../src/console/ui/texts/login.ts";

const desktop = { width: 1280, height: 800 };
/** The smallest phone, and half a desktop, which is what 200 % zoom leaves. */
const narrowWidths = [360, desktop.width / 2];

/** Screenshots of the manual. A test writes them only with UPDATE=1, because pixels differ between versions of Chromium. */
const imageFolder = join(projectRoot, "appliance", "manual", "images");
/** Whether tests write files that they compare otherwise. */
export const updates = process.env["UPDATE"] === "1";

/** One for all test files of the process, and playwright ends it with the process: hooks of a shared module run only for the first file. */
let started: Promise<Browser> | undefined;

/** A host name that leads to this machine, but is not one of those that browsers trust without HTTPS. */
export const untrustedHost = "node.example";

export interface TabOptions {
  /** Hosts that the tab may ask besides the node. */
  readonly others?: readonly string[];
  /** Default UTC. */
  readonly timeZone?: string | undefined;
}

/** A tab with a session of its own, which may ask only `origin`. */
export async function openTab(origin: string, { others = [], timeZone = "UTC" }: TabOptions = {}): Promise<Tab> {
  const rules = `--host-resolver-rules=MAP ${untrustedHost} 127.0.0.1`;
  started ??= chromium.launch({
    executablePath: programPath("chromium"),
    args: ["--no-sandbox", "--disable-gpu", rules],
  });
  const context = await (
    await started
  ).newContext({
    viewport: desktop,
    colorScheme: "light",
    locale: "en-GB",
    timezoneId: timeZone,
    acceptDownloads: true,
  });
  await context.addInitScript(reportViolations);
  return new Tab(await context.newPage(), origin, others);
}

/**
 * A response with an error status is logged as well; the flows check those that they expect. Without HTTPS a browser
 * ignores one of the headers.
 */
const expectedMessages = /^Failed to load resource|^The Cross-Origin-Opener-Policy header has been ignored/;

/** Runs in the page. The debugger adds it, so the content security policy does not apply to it. */
const reportViolations = `document.addEventListener("securitypolicyviolation", (event) =>
  console.error("violates the content security policy: " + event.violatedDirective + " " + event.blockedURI));`;

export class Tab {
  readonly page: Page;
  /** Violations of the content security policy, errors of scripts, and requests to other hosts. Empty is right. */
  readonly problems: string[] = [];
  /** The address of the node, with the path prefix of a proxy. */
  readonly #origin: string;

  constructor(page: Page, origin: string, others: readonly string[]) {
    this.page = page;
    this.#origin = origin;
    page.on("pageerror", (error) => this.problems.push(`error: ${error.message}`));
    page.on("console", (message) => {
      if (message.type() === "error" && !expectedMessages.test(message.text())) this.problems.push(message.text());
    });
    page.on("request", (request) => {
      // Downloads are made in the page.
      const isAllowed = [origin, ...others].some((each) => request.url().startsWith(`${each}/`));
      if (!isAllowed && !/^(?:blob|data):/.test(request.url())) this.problems.push(`request: ${request.url()}`);
    });
  }

  /** Enters a key, or a token together with an environment, into the login. */
  async logIn(token: string, environment = ""): Promise<void> {
    await this.page.goto(`${this.#origin}/console/`);
    await this.page.getByLabel(loginTexts.credential).fill(token);
    await this.page.getByLabel(loginTexts.environment, { exact: true }).fill(environment);
    await this.page.getByRole("button", { name: loginTexts.submit }).click();
  }

  /** Opens a screen by its address: `facts`, `ask/authorize?actor=User:ann`. */
  async open(route: string): Promise<void> {
    await this.page.goto(`${this.#origin}/console/#/${route}`);
  }

  /**
   * Waits until an expression in the page is true. (`waitForFunction` evaluates it in the page, where the content
   * security policy forbids that.)
   */
  async until(expression: string): Promise<void> {
    await eventually(async () =>
      expect([expression, await this.page.evaluate(expression)]).toEqual([expression, true]),
    );
  }

  /** The title of a screen. Wait for it after `open`. */
  heading(name: string): Locator {
    return this.page.getByRole("heading", { level: 1, name, exact: true });
  }

  /**
   * What holds of every screen: no violation of WCAG 2.2 level A or AA in either theme, no horizontal scrolling of the
   * page on a phone or with 200 % zoom, and a heading that names the page.
   */
  async expectAccessible(): Promise<void> {
    const { page } = this;
    const found: string[] = [];
    for (const colorScheme of ["dark", "light"] as const) {
      await page.emulateMedia({ colorScheme });
      await page.locator(`html[data-theme="${colorScheme}"]`).waitFor();
      found.push(...(await accessibilityProblems(page)).map((problem) => `${colorScheme}: ${problem}`));
    }
    expect(found).toEqual([]);
    for (const width of narrowWidths) {
      await page.setViewportSize({ width, height: desktop.height });
      // Charts and editors follow in a later frame.
      await this.until(`document.documentElement.scrollWidth <= ${width}`);
    }
    await page.setViewportSize(desktop);
    const headings = await page.getByRole("heading", { level: 1 }).allTextContents();
    expect(headings).toHaveLength(1);
    // Changes that are not saved have a mark before it.
    expect(await page.title()).toEndWith(texts.title(headings[0] ?? ""));
  }

  /**
   * The screenshot of the manual with that name, of what the tab shows. With UPDATE=1 it is made; otherwise the file has
   * to exist. `hidden` are elements that change with each run.
   */
  async screenshot(name: string, hidden: readonly Locator[] = []): Promise<void> {
    const path = join(imageFolder, `console-${name}.png`);
    if (updates) await this.page.screenshot({ path, animations: "disabled", caret: "hide", mask: [...hidden] });
    expect(existsSync(path)).toBe(true);
  }

  /** What the tab shows and complains of, for the error of a failed flow. */
  async describe(): Promise<string> {
    const text = await this.page.locator("body").innerText({ timeout: 1000 }).catch(String);
    return [this.page.url(), ...this.problems, text.slice(0, 3000)].join("\n");
  }

  close(): Promise<void> {
    return this.page.context().close();
  }
}

interface AxeResult {
  readonly violations: readonly {
    readonly id: string;
    readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
  }[];
}

const axeOptions = { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], resultTypes: ["violations"] };

async function accessibilityProblems(page: Page): Promise<string[]> {
  // As the debugger evaluates it, the content security policy does not apply.
  if (!(await page.evaluate("'axe' in window"))) await page.evaluate(axe.source);
  const { violations } = (await page.evaluate(`axe.run(document, ${JSON.stringify(axeOptions)})`)) as AxeResult;
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html}: ${failureSummary}`),
  );
}

/** Adds a condition with a text to the line of filters of a screen. */
export async function addFilter({ page }: Tab, label: string, value: string): Promise<void> {
  await page.getByLabel(filterTexts.condition, { exact: true }).selectOption({ label });
  await page.getByRole("textbox", { name: label, exact: true }).fill(value);
  await page.getByRole("button", { name: filterTexts.add, exact: true }).click();
}
