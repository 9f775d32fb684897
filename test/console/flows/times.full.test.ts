/** Every time that the console shows is local, in one format, with the UTC time on hover. */
import { expect } from "bun:test";
import { localTime, utcTime } from "../../../src/console/ui/components/times.ts";
import { eventually } from "../../replication/cluster.ts";
import type { Tab } from "./browser.ts";
import { flow } from "./flow.ts";
import { traced } from "./traced.ts";

traced();

/** Its offset is no whole number of hours. */
const timeZone = "Asia/Kolkata";

interface Shown {
  readonly times: readonly { readonly time: string; readonly text: string; readonly title: string }[];
  /** The text of the page without its fields. */
  readonly text: string;
}

const shownTimes = `({
  times: [...document.querySelectorAll("main time")].map((element) => ({
    ...{ time: element.dateTime, text: element.textContent, title: element.title },
  })),
  text: document.querySelector("main").innerText,
})`;

/** Waits until the screen shows a time. */
async function timesOf(tab: Tab, route: string): Promise<Shown> {
  await tab.open(route);
  await tab.page.locator("main time").first().waitFor({ timeout: 60_000 });
  return (await tab.page.evaluate(shownTimes)) as Shown;
}

flow(
  "times are local in one format on all screens, with UTC on hover",
  async (flow) => {
    const question = { actor_type: "User", actor_id: "bob", action: "read", resource_type: "Repository" };
    // The traces of all files of the process are in one buffer, and another file counts those of `authorize`.
    await flow.call("POST", "/api/list", question);
    let decision = "";
    await eventually(async () => {
      const { decisions } = (await flow.call("GET", "/api/decisions")) as { decisions: { id: string }[] };
      decision = decisions[0]?.id ?? "";
      expect(decision).not.toBe("");
    });
    const { events } = (await flow.call("GET", "/api/events?limit=1")) as { events: { offset: string }[] };
    await flow.call("POST", "/api/environments", { id: "other", name: "Other" });
    await flow.call("POST", "/api/environments", { id: "former", name: "Former" });
    await flow.call("DELETE", "/api/environments/former");
    const grant = { role: "read", expires: "30d" };
    await flow.call("POST", "/api/keys", { name: "soon", grant });
    const tab = await flow.logIn("admin", "", { timeZone });
    const wrong: unknown[] = [];
    for (const route of [
      ...["decisions", `decisions/${decision}`, "changes", `changes/${events[0]?.offset}`, "traces", "policy/history"],
      ...["administration/keys", "administration/environments", "administration/audit", "overview"],
    ]) {
      const { times, text } = await timesOf(tab, route);
      // No other format, and no UTC but beside a local time.
      for (const [found] of text.matchAll(/\d{4}-\d\d-\d\d(?:T\S*)?/g)) wrong.push([route, found]);
      for (const { time, text: local, title } of times) {
        const ms = Date.parse(time);
        const formats = [false, true].map((hasMs) => [localTime(ms, { hasMs, timeZone }), utcTime(ms, { hasMs })]);
        const isRelative = local.endsWith(" ago") && title === `${formats[0]?.[0]} (${formats[0]?.[1]})`;
        const isLocal = formats.some(([one, other]) => one === local && other === title);
        if (!isRelative && !isLocal) wrong.push([route, time, local, title]);
      }
    }
    expect(wrong).toEqual([]);
  },
  { flags: { "decisions.log": "all" } },
);
