/** Chromium for the tests of the console: pages that report what must not happen, and an accessibility check. */
import { afterAll } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type Browser, chromium, type Page } from "playwright-core";

const program = "/usr/bin/chromium";
export const hasBrowser = existsSync(program);

let started: Promise<Browser> | undefined;
afterAll(async () => (await started)?.close());

export interface ConsolePage {
  readonly page: Page;
  /** Violations of the content security policy, errors of scripts, and requests to other hosts. */
  readonly problems: readonly string[];
}

/** An empty tab with a session of its own. `origin` is the only host that it may ask. */
export async function openPage(origin: string): Promise<ConsolePage> {
  started ??= chromium.launch({ executablePath: program, args: ["--no-sandbox", "--disable-gpu"] });
  const context = await (await started).newContext();
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(`error: ${error.message}`));
  page.on("console", (message) => {
    // A response with an error status is logged as well, and the flows check those that they expect.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
      problems.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(`${origin}/`)) problems.push(`request: ${request.url()}`);
  });
  return { page, problems };
}

interface AxeResult {
  readonly violations: readonly {
    readonly id: string;
    readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
  }[];
}

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The violations of WCAG 2.2, levels A and AA, each with its elements. */
export async function accessibilityProblems(page: Page): Promise<string[]> {
  // As the debugger evaluates it, the content security policy does not apply.
  await page.evaluate(axe);
  const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
  const run = `axe.run(document, { runOnly: ${JSON.stringify(tags)} })`;
  const { violations } = (await page.evaluate(run)) as AxeResult;
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html}: ${failureSummary}`),
  );
}
