/**
 * The texts of the console's frame and of shared components; those of each screen are in `texts/`, so that they are loaded
 * with it. Errors of the node are shown as it sends them.
 */

export const texts = {
  product: "Ostiary",
  title: (screen: string) => `${screen} · Ostiary`,
  skipToContent: "Skip to the content",
  navigation: "Screens",
  menu: "Menu",
  loading: "Loading …",
  loggingIn: "Logging in …",
  noValue: "–",
  suggestions: (label: string) => `Suggestions for ${label}`,

  node: {
    silent: (duration: string) => `This node has not answered for ${duration}. The console tries again by itself.`,
    failed: "The console could not load this:",
    uncertain: "The node did not answer. It may have done it all the same: reload before you try again.",
  },

  remote: {
    noAnswer: "The node does not answer. This is loaded when it does.",
    waiting: "The node gave no answer to this yet.",
    codeFailed: "This part of the console could not be loaded. After an upgrade of the node, reload the page.",
    reload: "Reload the page",
    retry: "Try again",
    retrying: "Trying again …",
    age: (age: string) => `${age} old`,
  },

  time: {
    utc: (time: string) => `${time} UTC`,
    beside: (utc: string) => `(${utc})`,
    both: (local: string, utc: string) => `${local} (${utc})`,
    ago: (duration: string) => `${duration} ago`,
    in: (duration: string) => `in ${duration}`,
    now: "less than a minute ago",
    minutes: (count: number) => `${count} min`,
    hours: (count: number) => `${count} h`,
    days: (count: number) => `${count} days`,
  },

  theme: {
    label: "Colours",
    system: "As the system",
    light: "Light",
    dark: "Dark",
  },

  account: {
    environment: "Environment",
    otherEnvironment: "Another environment …",
    withoutLogin: (environment: string) => `${environment} (needs a key)`,
    who: (name: string, role: string) => `${name}, ${role}`,
    logOut: "Log out",
  },

  chart: {
    nothing: "Nothing was measured in the last hour.",
    notMeasured: "not measured",
    empty: (chart: string) => `${chart}: nothing was measured in the last hour.`,
    summary: (chart: string, latest: string, highest: string) => `${chart}: now ${latest}, highest ${highest}.`,
  },

  screens: {
    overview: "Overview",
    policy: "Policy",
    model: "Model",
    facts: "Facts",
    object: "Object",
    start: "Start",
    open: "Shared question",
    ask: "Ask",
    decisions: "Decisions",
    changes: "Changes",
    traces: "Traces",
    administration: "Administration",
    manual: "Manual",
    notFound: "There is no such screen",
    forbidden: (screen: string, needed: string, role: string) =>
      `The screen ${screen} needs a login with the role ${needed}; this one has the role ${role}.`,
    otherKey: "Log in with another key",
    notFoundHelp: "The link may be from another version of the console.",
  },
} as const;
