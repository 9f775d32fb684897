/** The texts around an environment that was made for a shared question. */

export const throwAwayTexts = {
  banner: (environment: string) => `${environment} is an environment for a shared question.`,
  bannerThrowAway: "It is deleted when the node stops.",
  back: (environment: string) => `Back to ${environment}`,
  delete: "Delete this environment",
  deleteTitle: (environment: string) => `Delete the environment ${environment}?`,
  deleteHelp: "Its policy and its facts are deleted with it.",
} as const;
