/** The texts of dialogs. */

export const dialogTexts = {
  type: (text: string) => `Type ${text} to confirm`,
  cancel: "Cancel",
  running: "Please wait …",
} as const;
