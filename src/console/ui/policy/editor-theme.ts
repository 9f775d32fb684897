/**
 * The look of all editors: the colours are variables of the page's theme, which also apply inside the shadow tree of an
 * editor. An editor is in a shadow tree because CodeMirror then makes constructed style sheets; in the document it would
 * make `style` elements, which the content security policy forbids.
 */
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import type { Extension } from "@codemirror/state";
import { EditorView, highlightSpecialChars } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { printable, unprintableInLines } from "../../../util/printable.ts";

const look = EditorView.theme({
  "&": { color: "var(--text)", backgroundColor: "var(--background)", borderRadius: "var(--radius)" },
  // The element around the shadow tree shows the focus.
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": {
    fontFamily: "var(--font-code)",
    fontSize: "var(--text-code)",
    lineHeight: "1.5",
    minHeight: "12rem",
  },
  // Where the editor fills the page, the page sets these variables.
  "&.cm-editor": { height: "var(--editor-height, auto)", maxHeight: "var(--editor-max-height, 70vh)" },
  ".cm-content": { caretColor: "var(--text)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": {
    color: "var(--muted)",
    backgroundColor: "var(--surface)",
    borderRight: "1px solid var(--border)",
  },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--surface)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--selection)",
  },
  ".cm-matchingBracket, &.cm-focused .cm-matchingBracket": { backgroundColor: "var(--selection)" },
  ".cm-tooltip": { color: "var(--text)", backgroundColor: "var(--surface)", border: "1px solid var(--muted)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": {
    color: "var(--on-accent)",
    backgroundColor: "var(--accent)",
  },
  // The arrow keys scroll it. Otherwise it would have to be in the tab order.
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { maxHeight: "15rem", overflow: "hidden" },
  ".cm-completionDetail": { fontStyle: "normal" },
  "&.cm-editor .cm-diagnosticAction": { color: "var(--on-accent)", backgroundColor: "var(--accent)" },
  ".cm-panels": { color: "var(--text)", backgroundColor: "var(--surface)" },
  ".cm-panels input, .cm-panels button, .cm-panels label": { font: "inherit", color: "inherit" },
  ".cm-textfield, .cm-button": { backgroundColor: "var(--background)", backgroundImage: "none" },
  ".cm-note": {
    // No margin: CodeMirror does not measure it.
    padding: "0.25rem 0.75rem",
    whiteSpace: "pre-wrap",
    overflowWrap: "anywhere",
    backgroundColor: "var(--surface)",
    borderLeft: "4px solid var(--accent)",
  },
  ".cm-note.failure": { color: "var(--error)", borderLeftColor: "var(--error)" },
  ".cm-tested": { color: "var(--good)" },
  ".cm-untested": { color: "var(--error)", fontWeight: "700" },
  ".cm-coverage": { minWidth: "1.75rem" },
  ".cm-coverage .cm-gutterElement": { padding: "0 0.25rem", textAlign: "right" },
  // Without the library's own colours of differences, which the dark theme does not have.
  ".cm-changedLine, .cm-insertedLine": { backgroundColor: "var(--inserted) !important" },
  ".cm-deletedChunk": { backgroundColor: "var(--deleted) !important" },
  ".cm-changedText, .cm-deletedText, .cm-deletedChunk .cm-deletedText": {
    background: "none !important",
    fontWeight: "700",
    textDecoration: "underline",
  },
  ".cm-collapsedLines": { color: "var(--text)", background: "var(--surface)" },
});

const highlighting = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--code-keyword)", fontWeight: "600" },
  { tag: tags.string, color: "var(--code-string)" },
  { tag: [tags.number, tags.atom], color: "var(--code-number)" },
  { tag: tags.comment, color: "var(--muted)", fontStyle: "italic" },
  { tag: tags.typeName, color: "var(--code-type)" },
  { tag: [tags.function(tags.variableName), tags.propertyName], color: "var(--code-function)" },
]);

/** Characters that cannot be seen are escapes. */
const hiddenCharacters = highlightSpecialChars({
  specialChars: new RegExp(unprintableInLines),
  render: (code) => {
    const element = document.createElement("span");
    element.className = "cm-specialChar";
    element.textContent = printable(String.fromCodePoint(code));
    return element;
  },
});

export const editorTheme: Extension = [
  look,
  syntaxHighlighting(highlighting),
  hiddenCharacters,
  EditorView.lineWrapping,
];
