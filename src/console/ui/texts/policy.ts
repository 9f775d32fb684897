/** The texts of the policy screen. */

const counted = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`;

export const policyTexts = {
  title: "Policy",
  views: "Views of the policy",
  editor: "Editor",
  history: "History",
  readOnly: "The policy can only be read here: this key, or this node, accepts no change of it.",
  none: "There is no policy yet. Write one, or open a file.",

  side: "About the draft",
  unsaved: "Not saved",
  unsavedTitle: (title: string) => `● ${title}`,
  nothingToSave: "There is nothing to save.",
  shortcuts: { save: "Ctrl+S", test: "Ctrl+Enter" },
  ask: {
    title: "Ask",
    help: "The draft answers, on the stored facts of this node. Nothing is saved.",
    broken: "The draft has errors, and answers nothing: see the tab Problems.",
    makeTest: "Make it a test",
  },
  preview: { title: "Preview", again: "Check again" },

  files: {
    list: "Files of this policy",
    name: "File name",
    add: "New file",
    open: "Open files …",
    opened: "Files to open",
    remove: "Remove this file",
    newName: "more.polar",
  },

  code: (name: string) => `Text of ${name}`,
  actions: {
    label: "Work on the policy",
    format: "Format",
    longhand: "Longhand",
    test: "Run tests",
    stopTest: "Stop the tests",
    discard: "Discard changes",
    save: "Save …",
  },
  discard: {
    title: "Discard all changes?",
    help: "The editor shows the active policy again. This cannot be undone.",
    confirm: "Discard",
  },

  problems: {
    title: "Problems",
    checking: "Checking …",
    none: "No problems found.",
    count: (errors: number, warnings: number) =>
      [
        ...(errors > 0 ? [counted(errors, "error", "errors")] : []),
        ...(warnings > 0 ? [counted(warnings, "warning", "warnings")] : []),
      ].join(", "),
    place: (file: string, line: number, column: number) => `${file}:${line}:${column}`,
    severity: { error: "Error", warning: "Warning" },
    hint: (hint: string) => `Hint: ${hint}`,
    fix: (title: string) => `Fix: ${title}`,
    fixed: (title: string) => `Fixed: ${title}.`,
    changed: "The text has changed since this problem was found. It is checked again.",
    more: (count: number) => `${count} more are not listed.`,
  },
  formatted: (count: number) =>
    count === 0 ? "Everything is in canonical form already." : `Formatted ${counted(count, "file", "files")}.`,
  notFormatted: "Files with syntax errors were not formatted.",
  noShorthand: "There is no shorthand rule in this file.",
  longhandFailed: "Longhand needs a policy without errors.",

  tests: {
    title: "Tests",
    badge: (passed: number, total: number) => `${passed}/${total}`,
    running: "Running the tests …",
    none: "The policy has no tests.",
    summary: (passed: number, total: number) => `${passed} of ${counted(total, "test", "tests")} passed.`,
    old: "The policy has changed since then.",
    passed: "passed",
    failed: "failed",
    assertions: (passed: number, total: number) => `${passed} of ${total} assertions`,
    coverage: (exercised: number, rules: number) =>
      `Tests exercise ${exercised} of ${counted(rules, "rule", "rules")}.`,
    incomplete: "Some rules may be exercised as well: some answers took too long to follow.",
    gutter: (tests: number) =>
      tests === 0 ? "No test exercises this rule" : `${counted(tests, "test exercises", "tests exercise")} this rule`,
    failure: (test: string, message: string) => `Test “${test}” failed: ${message}`,
  },

  save: {
    title: "Save the policy",
    intro: "This is what the policy would change on this node. Nothing is saved yet.",
    message: "Why it changes, for its history",
    force: "Save it although tests fail",
    confirm: (environment: string) => `Save in ${environment}`,
    saving: "Saving …",
    close: "Back to the editor",
    cancel: "Cancel the check",
    cancelled: "The check was cancelled.",
    differences: "Differences to the active policy",
    verdicts: {
      unknown: "The node checks the policy …",
      broken: "The policy has errors and cannot be saved.",
      failing: "Tests fail.",
      changes: "The policy can be saved. Read what it changes.",
      harmless: "The policy can be saved.",
    },
  },

  conflict: {
    saved: (who: string, id: number) => `${who} has saved version ${id} in the meantime:`,
    theirs: "What that version changed",
    yours: "What saving this text would change in it",
    goOn: "Go on editing on that version",
    takeTheirs: "Take that version",
    saveAnyway: "Save anyway …",
    replaces: (id: number) => `Saving replaces version ${id} of somebody else.`,
  },

  effect: {
    tests: "Tests",
    facts: "Stored facts",
    noUnusedFacts: "All stored facts that the active policy uses stay in use.",
    unusedFacts: (count: number, facts: string) =>
      `${counted(count, "fact", "facts")} ${facts} would no longer be used`,
    unusedFactsHelp: "They stay stored, and count again as soon as a policy uses them.",
    decisions: "Logged decisions",
    progress: (examined: number) => `${counted(examined, "decision", "decisions")} made again so far …`,
    waiting: "Logged decisions are made again …",
    afterErrors: "Logged decisions are made again when the policy has no errors.",
    omitted: (reason: string) => `Not made again: ${reason}`,
    noDecisions: "This node has logged no decisions that can be made again.",
    summary: (changed: number, replayed: number) =>
      `${changed} of the latest ${counted(replayed, "logged decision", "logged decisions")} of this node would change.`,
    skipped: (count: number, reason: string) => `${count} were not made again: ${reason}`,
    more: (count: number) => `${count} more changes are not listed.`,
    columns: { time: "Time", question: "Question", before: "Before", after: "After" },
    entries: (count: number) => counted(count, "entry", "entries"),
    why: "Why",
    changed: "Decisions that would change",
  },

  versions: {
    title: "Versions of the policy",
    none: "No policy was saved yet.",
    columns: {
      from: "From",
      to: "To",
      id: "Version",
      time: "Time",
      author: "Author",
      message: "Message",
      file: "File",
      size: "Size",
    },
    active: "active",
    node: "the node",
    bytes: (bytes: string) => `${bytes} bytes`,
    showVersion: (id: number) => `Show version ${id}`,
    compare: "Compare",
    from: (id: number) => `Compare from version ${id}`,
    to: (id: number) => `Compare to version ${id}`,
    older: "Older versions",
    back: "Go back to this version …",
    version: (id: number) => `Version ${id}`,
    compared: (from: number, to: number) => `From version ${from} to version ${to}`,
    differences: (from: number, to: number) => `Differences between version ${from} and version ${to}`,
    same: "Both versions have the same text.",
    missing: (id: number) => `The history has no version ${id}.`,
    allVersions: "All versions",
  },

  rollback: {
    title: (id: number) => `Go back to version ${id}`,
    help: "The text of that version becomes a new version. The history keeps all others.",
    reason: "Why, for its history",
  },
} as const;
