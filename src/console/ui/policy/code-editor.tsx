/** The editor of one file of a policy: highlighting, completion, problems, counts of tests, and texts below lines. */
import {
  autocompletion,
  closeBrackets,
  closeBracketsKeymap,
  type CompletionContext,
  completionKeymap,
} from "@codemirror/autocomplete";
import { defaultKeymap, history, historyField, historyKeymap } from "@codemirror/commands";
import { bracketMatching, indentOnInput } from "@codemirror/language";
import { type Action, forEachDiagnostic, lintGutter, nextDiagnostic, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { EditorState, type Extension, RangeSet, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration,
  type DecorationSet,
  drawSelection,
  EditorView,
  gutter,
  GutterMarker,
  highlightActiveLine,
  highlightActiveLineGutter,
  keymap,
  lineNumbers,
  WidgetType,
} from "@codemirror/view";
import { useEffect, useRef } from "preact/hooks";
import { printableLines } from "../../../util/printable.ts";
import { policyTexts } from "../texts/policy.ts";
import { suggestionsAt } from "./completion.ts";
import { editorTheme } from "./editor-theme.ts";
import type { Fix } from "./fixes.ts";
import { polar } from "./language.ts";
import type { LineNote } from "./marks.ts";
import { mergedNames, namesInText, type PolicyNames } from "./names.ts";
import { changeBetween, type Place, positionOf, type Problem, rangeOf } from "./places.ts";

export interface CodeEditorProps {
  readonly name: string;
  /** The text at first, and when `revision` changes. */
  readonly text: string;
  readonly revision?: number;
  readonly isReadOnly?: boolean;
  /** The names of the active policy. */
  readonly names?: PolicyNames;
  readonly problems?: readonly Problem[];
  /** How many tests exercise the rules of a line. */
  readonly counts?: ReadonlyMap<number, number> | undefined;
  readonly notes?: readonly LineNote[];
  /** Another object moves the cursor there. */
  readonly target?: Place | undefined;
  /** States of editors that were closed, by file, with their undo histories. */
  readonly states?: Map<number, unknown>;
  readonly id?: number;
  readonly onChange?: (text: string) => void;
  /** Somebody has chosen a fix of a problem. */
  readonly onFix?: ((fix: Fix) => void) | undefined;
}

/** Give it a `key`: it shows one file as long as it lives. */
export function CodeEditor(props: CodeEditorProps) {
  const { text, revision = 0, problems, counts, notes, target } = props;
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | undefined>(undefined);
  const shownRevision = useRef(revision);
  const latest = useRef(props);
  latest.current = props;
  useEffect(() => {
    if (host.current === null) return undefined;
    const root = host.current.attachShadow({ mode: "open" });
    const { id = 0, states } = latest.current;
    const extensions = extensionsOf(latest);
    const made = new EditorView({ state: stateOf(text, extensions, states?.get(id)), parent: root, root });
    view.current = made;
    return () => {
      states?.set(id, made.state.toJSON(storedFields));
      made.destroy();
    };
  }, []);
  useEffect(() => {
    const editor = view.current;
    // The text of the properties is behind that of the editor while somebody types.
    if (editor === undefined || revision === shownRevision.current) return;
    shownRevision.current = revision;
    // Only what differs, so that the cursor stays where it is.
    editor.dispatch({ changes: changeBetween(editor.state.doc.toString(), text) });
  }, [revision]);
  useEffect(() => {
    const editor = view.current;
    if (editor === undefined) return;
    const found = (problems ?? []).map((problem) => ({
      ...rangeOf(editor.state.doc, problem),
      severity: problem.severity,
      message: printableLines(messageOf(problem)),
      actions: latest.current.onFix === undefined ? [] : actionsOf(problem, latest),
    }));
    editor.dispatch(setDiagnostics(editor.state, found));
  }, [problems]);
  useEffect(() => {
    view.current?.dispatch({ effects: setMarks.of({ counts: counts ?? new Map(), notes: notes ?? [] }) });
  }, [counts, notes]);
  useEffect(() => {
    const editor = view.current;
    if (editor === undefined || target === undefined) return;
    const anchor = positionOf(editor.state.doc, target);
    editor.dispatch({ selection: { anchor }, effects: EditorView.scrollIntoView(anchor, { y: "center" }) });
    editor.focus();
  }, [target]);
  return <div class="code" ref={host} />;
}

const storedFields = { history: historyField };

/** Continues from a stored state if it has the same text. */
function stateOf(doc: string, extensions: Extension, stored: unknown): EditorState {
  if (stored !== undefined) {
    const state = EditorState.fromJSON(stored, { extensions }, storedFields);
    if (state.doc.toString() === doc) return state;
  }
  return EditorState.create({ doc, extensions });
}

function actionsOf({ fixes = [] }: Problem, props: { readonly current: CodeEditorProps }) {
  return fixes.map((fix) => ({ name: printableLines(fix.title), apply: () => props.current.onFix?.(fix) }));
}

/** Applies the first fix of a problem at the cursor. The list of problems has the others. */
function fixAtCursor(view: EditorView): boolean {
  const { head } = view.state.selection.main;
  let found: { readonly action: Action; readonly from: number; readonly to: number } | undefined;
  forEachDiagnostic(view.state, ({ actions: [action] = [] }, from, to) => {
    if (found === undefined && action !== undefined && from <= head && head <= to) found = { action, from, to };
  });
  found?.action.apply(view, found.from, found.to);
  return found !== undefined;
}

function messageOf({ message, hint }: Problem): string {
  return hint === undefined ? message : `${message}\n${policyTexts.problems.hint(hint)}`;
}

function extensionsOf(props: { readonly current: CodeEditorProps }): Extension {
  const { name, isReadOnly = false } = props.current;
  // Checks of accessibility take only an element with an index for one that the tab key reaches.
  const attributes = {
    "aria-label": policyTexts.code(name),
    tabindex: "0",
    ...(isReadOnly && { "aria-readonly": "true" }),
  };
  return [
    lineNumbers(),
    lintGutter(),
    marks,
    history(),
    drawSelection(),
    indentOnInput(),
    bracketMatching(),
    closeBrackets(),
    highlightActiveLine(),
    highlightActiveLineGutter(),
    highlightSelectionMatches(),
    polar,
    editorTheme,
    EditorState.readOnly.of(isReadOnly),
    EditorView.contentAttributes.of(attributes),
    EditorView.updateListener.of((update) => {
      if (update.docChanged) props.current.onChange?.(update.state.doc.toString());
    }),
    autocompletion({ override: [(context) => completionsAt(context, props.current.names)] }),
    // Without the tab key, which has to lead out of the editor.
    keymap.of([
      ...closeBracketsKeymap,
      ...defaultKeymap,
      ...searchKeymap,
      ...historyKeymap,
      ...completionKeymap,
      { key: "F8", run: nextDiagnostic },
      { key: "Mod-.", run: fixAtCursor },
    ]),
  ];
}

/** Completion looks at so much text before and after the cursor: all of nearly every policy. */
const contextCharacters = 128 * 1024;

function completionsAt({ state, pos, explicit }: CompletionContext, names: PolicyNames | undefined) {
  const begin = Math.max(0, pos - contextCharacters);
  const text = state.doc.sliceString(begin, pos + contextCharacters);
  // A list after each space would be in the way.
  if (!explicit && !/[\p{L}\p{N}_"]/u.test(text.charAt(pos - begin - 1))) return null;
  const all = mergedNames([...(names === undefined ? [] : [names]), namesInText(text)]);
  const found = suggestionsAt(text, pos - begin, all);
  if (found === undefined) return null;
  const options = found.options.map(({ label, kind, of }) => ({
    label,
    type: kind,
    detail: of === undefined ? kind : `${kind}, ${of}`,
  }));
  return { from: begin + found.from, options, validFor: /^[\p{L}\p{N}_:]*$/u };
}

interface Marks {
  readonly counts: ReadonlyMap<number, number>;
  readonly notes: readonly LineNote[];
}

const setMarks = StateEffect.define<Marks>();

class CountMarker extends GutterMarker {
  readonly #tests: number;

  constructor(tests: number) {
    super();
    this.#tests = tests;
  }

  override toDOM(): Node {
    const element = document.createElement("span");
    element.textContent = String(this.#tests);
    element.title = policyTexts.tests.gutter(this.#tests);
    element.className = this.#tests === 0 ? "cm-untested" : "cm-tested";
    return element;
  }
}

class NoteWidget extends WidgetType {
  readonly #note: LineNote;

  constructor(note: LineNote) {
    super();
    this.#note = note;
  }

  override toDOM(): HTMLElement {
    const element = document.createElement("div");
    element.className = `cm-note ${this.#note.kind}`;
    element.textContent = printableLines(this.#note.text);
    return element;
  }
}

interface PlacedMarks {
  readonly counts: RangeSet<GutterMarker>;
  readonly notes: DecorationSet;
}

const noMarks: PlacedMarks = { counts: RangeSet.empty, notes: Decoration.none };

/** Marks move with the text, until there are new ones. */
const placedMarks = StateField.define<PlacedMarks>({
  create: () => noMarks,
  update(placed, transaction) {
    const given = transaction.effects.find((effect) => effect.is(setMarks));
    if (given !== undefined) return place(given.value, transaction.state);
    if (!transaction.docChanged) return placed;
    return { counts: placed.counts.map(transaction.changes), notes: placed.notes.map(transaction.changes) };
  },
  provide: (field) => EditorView.decorations.from(field, ({ notes }) => notes),
});

function place({ counts, notes }: Marks, { doc }: EditorState): PlacedMarks {
  const markers = [...counts]
    .filter(([line]) => line <= doc.lines)
    .map(([line, tests]) => new CountMarker(tests).range(doc.line(line).from));
  const widgets = notes
    .filter(({ line }) => line <= doc.lines)
    .map((note) =>
      Decoration.widget({ widget: new NoteWidget(note), block: true, side: 1 }).range(doc.line(note.line).to),
    );
  return { counts: RangeSet.of(markers, true), notes: Decoration.set(widgets, true) };
}

const marks: Extension = [
  placedMarks,
  gutter({ class: "cm-coverage", markers: (view) => view.state.field(placedMarks).counts }),
];
