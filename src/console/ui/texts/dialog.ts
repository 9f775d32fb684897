/** The texts of dialogs. */

export const dialogTexts = {
  type: (text: string) => `Type ${text} to confirm`,
  cancel: "Cancel",
  running: "Please wait …",
  noAnswer: "The node did not answer. It may have done it all the same: reload this list before you try again.",
} as const;
