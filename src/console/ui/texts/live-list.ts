/** The texts of lists that grow by themselves. */
export const liveListTexts = {
  pause: "Pause",
  resume: "Resume",
  held: "Paused while you read.",
  paused: "Paused.",
  fresh: (count: number) => (count === 1 ? "1 new" : `${count} new`),
  many: (count: number) => `more than ${count} new`,
  show: (count: string) => `Show ${count}`,
} as const;
