/** The texts of the command palette. */

export const paletteTexts = {
  open: "Find",
  keys: "Ctrl+K",
  title: "Go to, or do",
  input: "A screen, an action, a page of the manual, or an object such as User:ann",
  list: "Results",
  none: "Nothing found",
  found: (count: number) => (count === 1 ? "1 result" : `${count} results`),
  groups: {
    screen: "Screen",
    action: "Action",
    object: "Object",
    recent: "Recent object",
    environment: "Environment",
    manual: "Manual",
  },
  actions: {
    ask: "Ask a new question",
    insert: "Insert a fact",
    policy: "Change the policy",
    key: "Create an API key",
    samples: "Show the samples",
    open: "Open a shared question",
    light: "Use light colours",
    dark: "Use dark colours",
    system: "Use the colours of the system",
  },
  switchTo: (environment: string) => `Switch to the environment ${environment}`,
} as const;
