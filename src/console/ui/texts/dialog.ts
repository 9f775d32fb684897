/** The texts of dialogs. */

export const dialogTexts = {
  type: (text: string) => `Type ${text} to confirm`,
  cancel: "Cancel",
  close: "Close",
  running: "Please wait …",
} as const;
