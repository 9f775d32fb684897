/** The texts of the line of filters. */
export const filterTexts = {
  condition: "Condition",
  add: "Add",
  active: "Conditions",
  clear: "Remove all",
  chip: (label: string, value: string) => `${label}: ${value}`,
  remove: (condition: string) => `Remove ${condition}`,
  exact: "A certain time …",
  relative: {
    "-15m": "last 15 min",
    "-1h": "last hour",
    today: "today",
    "-24h": "last 24 h",
    "-7d": "last 7 days",
  },
} as const;
