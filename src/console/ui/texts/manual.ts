/** The texts of the manual's screen; its pages have their own. */

export const manualTexts = {
  pages: "Pages of the manual",
  search: "Search the manual",
  found: (count: number) => (count === 1 ? "1 section found" : `${count} sections found`),
  foundIn: (page: string, section: string) => (page === section ? page : `${page}: ${section}`),
  results: "Sections found",
  unknown: "There is no such page in the manual",
  code: "Code",
  table: "Table",
} as const;
