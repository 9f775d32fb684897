/** The texts of the login. */

export const loginTexts = {
  title: "Log in",
  introduction: "The console shows one environment of this node. The role of the key decides what you see and may do.",
  introductionFor: (environment: string) => `Enter a key of the environment ${environment}.`,
  credential: "API key or token",
  credentialHelp:
    "A key begins with e_. It stays in this tab: it is never part of an address, and it is gone when you close the tab.",
  environment: "Environment",
  environmentHelp: "Only for the token of a person; empty for the default environment.",
  submit: "Log in",
  submitting: "Checking …",
  cancel: "Cancel",
  noAnswer: "This node does not answer. Check that it runs, then try again.",
  issuer: (host: string) => `Log in at ${host}`,
  issuerHelp: "With your own account. The issuer of this node asks you for it.",
  issuerNeedsHttps: (host: string) => `Open the console over HTTPS to log in at ${host}.`,
  or: "or with a key",
  foreignAnswer: "This tab did not begin the login. Begin it again here.",
  refused: (reason: string) => `The issuer refused the login: ${reason}`,
  lost: {
    title: (environment: string) => `Your login in ${environment} has ended`,
    reason: (reason: string) => `The node says: ${reason}.`,
    help: (environment: string) =>
      `Log in to ${environment} again to go on where you were. Nothing was sent to another environment.`,
    show: (environment: string) => `Show ${environment} instead`,
  },
  wrongEnvironment: (environment: string, wanted: string) =>
    `This is for the environment ${environment}. Enter one for ${wanted}.`,
} as const;
