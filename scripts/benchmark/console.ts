/**
 * The web console: the sizes of its files, its first paint in Chromium beside a bare page, and the throughput of a node
 * while a console is open, beside an equal node without one.
 */
import * as Bun from "bun";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { buildConsole, filesOfScreen, gzipBytesOf, isCode } from "../console-archive.ts";
import type { Served } from "./http.ts";
import { bodiesOf, type PairOptions, placeOf, servedBy } from "./node-pairs.ts";
import { companyOf } from "./company.ts";
import { withNodes, type Nodes } from "./nodes.ts";
import { patienceMs } from "./starting.ts";
import { median } from "./timing.ts";

export interface ConsoleFigures {
  /** In bytes, as gzip. */
  readonly sizes: { readonly firstScreen: number; readonly code: number; readonly manual: number };
  /** Undefined without Chromium. */
  readonly inBrowser: BrowserFigures | undefined;
}

export interface BrowserFigures {
  /** First contentful paint, in milliseconds. */
  readonly barePaintMs: number;
  readonly loginPaintMs: number;
  /** From a reload until the overview shows the state of the node. */
  readonly overviewMs: number;
  readonly closed: Served;
  readonly open: Served;
}

const program = "/usr/bin/chromium";

export async function measureConsole(options: PairOptions): Promise<ConsoleFigures> {
  const files = await buildConsole(join(options.directory, "console.archive"));
  const sizes = {
    firstScreen: gzipBytesOf(filesOfScreen(files, "overview")),
    code: gzipBytesOf(files.filter(isCode)),
    manual: gzipBytesOf(files.filter((file) => !isCode(file))),
  };
  return { sizes, inBrowser: existsSync(program) ? await measureInBrowser(options) : undefined };
}

async function measureInBrowser(options: PairOptions): Promise<BrowserFigures> {
  const { binary, facts, seed, quick } = options;
  const company = companyOf(facts, seed);
  const places = [placeOf(options, "console-closed", company), placeOf(options, "console-open", company)] as const;
  const bodies = bodiesOf(company, seed, 100_000);
  let figures: BrowserFigures | undefined;
  const measure = async (closed: Nodes, open: Nodes): Promise<void> => {
    for (const { primary } of [closed, open]) await primary.start(undefined, patienceMs);
    const browser = await chromium.launch({ executablePath: program, args: ["--no-sandbox", "--disable-gpu"] });
    try {
      const paints = await measurePaints(browser, open.primary.url, quick ? 3 : 9);
      const page = await openConsole(browser, open);
      const overviewMs = await reloadMs(page, quick ? 3 : 9);
      const senders = ({ adminKey }: Nodes) => [{ key: adminKey, bodies }];
      const served = await servedBy(options, closed, senders(closed), open, senders(open));
      figures = { ...paints, overviewMs, closed: served.first, open: served.second };
    } finally {
      await browser.close();
    }
  };
  await withNodes(binary, places[0], "off", (closed) =>
    withNodes(binary, places[1], "off", (open) => measure(closed, open)),
  );
  if (figures === undefined) throw new Error("the console was not measured");
  return figures;
}

/** Each in a new context, without a cache. */
async function measurePaints(
  browser: Browser,
  url: string,
  rounds: number,
): Promise<Pick<BrowserFigures, "barePaintMs" | "loginPaintMs">> {
  const headers = { "Content-Type": "text/html" };
  const bare = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => new Response("<!doctype html><title>bare</title><h1>Log in</h1>", { headers }),
  });
  const measured: Record<"bare" | "login", number[]> = { bare: [], login: [] };
  try {
    for (let round = 0; round < rounds; round++) {
      measured.bare.push(await paintMs(browser, `http://127.0.0.1:${bare.port}/`));
      measured.login.push(await paintMs(browser, `${url}/console/`));
    }
  } finally {
    await bare.stop(true);
  }
  return { barePaintMs: median(measured.bare), loginPaintMs: median(measured.login) };
}

async function paintMs(browser: Browser, url: string): Promise<number> {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(url);
  await page.waitForSelector("h1");
  const entry = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime";
  // The entry is there after the frame that has the heading.
  let ms: unknown;
  while (ms === undefined) ms = await page.evaluate(entry);
  await context.close();
  return Number(ms);
}

/** A logged-in console that polls the node as long as the browser is open. */
async function openConsole(browser: Browser, { primary, adminKey }: Nodes): Promise<Page> {
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${primary.url}/console/`);
  await page.fill("#token", adminKey);
  await page.click("button[type=submit]");
  await page.waitForSelector(shownNode);
  return page;
}

const shownNode = "main .properties dd";

async function reloadMs(page: Page, rounds: number): Promise<number> {
  const measured: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await page.reload({ waitUntil: "commit" });
    await page.waitForSelector(shownNode);
    measured.push(Number(await page.evaluate("performance.now()")));
  }
  return median(measured);
}
