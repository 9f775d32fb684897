/** The screens, in the order of the navigation. The code of each is loaded when it is opened. */
import type { ComponentType } from "preact";
import type { Role } from "../api/responses.ts";
import type { IconName } from "../components/icon.tsx";
import { type Login, may } from "../state/session.ts";
import { texts } from "../texts.ts";

export interface ScreenEntry {
  /** In the address. */
  readonly name: string;
  readonly title: string;
  readonly icon: IconName;
  /** The weakest role that may see it. */
  readonly role: Role;
  /** Whether only links of other screens lead to it. */
  readonly isLinkedOnly?: true;
  readonly load: () => Promise<{ readonly default: ComponentType }>;
}

export const screens: readonly ScreenEntry[] = [
  {
    name: "overview",
    title: texts.screens.overview,
    icon: "overview",
    role: "read",
    load: () => import("./overview.tsx"),
  },
  { name: "policy", title: texts.screens.policy, icon: "policy", role: "read", load: () => import("./policy.tsx") },
  { name: "model", title: texts.screens.model, icon: "model", role: "read", load: () => import("./model.tsx") },
  { name: "facts", title: texts.screens.facts, icon: "facts", role: "read", load: () => import("./facts.tsx") },
  {
    name: "object",
    title: texts.screens.object,
    icon: "facts",
    role: "read",
    isLinkedOnly: true,
    load: () => import("./object.tsx"),
  },
  {
    name: "start",
    title: texts.screens.start,
    icon: "play",
    role: "read",
    isLinkedOnly: true,
    load: () => import("./start.tsx"),
  },
  {
    name: "open",
    title: texts.screens.open,
    icon: "share",
    role: "read",
    isLinkedOnly: true,
    load: () => import("./open.tsx"),
  },
  { name: "ask", title: texts.screens.ask, icon: "ask", role: "read", load: () => import("./ask.tsx") },
  {
    name: "decisions",
    title: texts.screens.decisions,
    icon: "decisions",
    role: "admin",
    load: () => import("./decisions.tsx"),
  },
  { name: "changes", title: texts.screens.changes, icon: "changes", role: "read", load: () => import("./changes.tsx") },
  { name: "traces", title: texts.screens.traces, icon: "traces", role: "admin", load: () => import("./traces.tsx") },
  {
    ...{ name: "administration", title: texts.screens.administration, icon: "administration", role: "admin" },
    load: () => import("./administration.tsx"),
  },
  { name: "manual", title: texts.screens.manual, icon: "manual", role: "read", load: () => import("./manual.tsx") },
];

/** The screen with that name, the first one for an empty name; undefined if there is none that the login may see. */
export function screenOf(name: string, login: Login | undefined): ScreenEntry | undefined {
  return screens.find((entry) => (name === "" || entry.name === name) && may(login, entry.role));
}

/** The screen with that name which the login may not see. */
export function forbiddenScreen(name: string, login: Login | undefined): ScreenEntry | undefined {
  return screens.find((entry) => entry.name === name && !may(login, entry.role));
}
