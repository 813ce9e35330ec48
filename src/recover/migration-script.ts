/**
 * Whether a migration file is one transaction when it is sent as one message, as Prisma sends it: then all of it was
 * rolled back when it was cut off. In doubt it is not.
 */

/** Refused wherever it stands, also in a string or a function body that may be executed: it commits, or cannot be rolled back. */
const NEVER =
  /\b(concurrently|commit|rollback|vacuum|dblink\w*|pg_background\w*|program|alter\s+system|prepare\s+transaction|(create|drop)\s+(database|tablespace|subscription))\b/i;
/** Refused outside of strings and function bodies. */
const NOT_IN_CODE = /\b(begin|savepoint|call)\b|(^|\n)\s*\\/i;
/** Refused as the first word of a statement; `CASE ... END` is none. */
const NOT_FIRST =
  /^(start|end|abort|release|prepare|reindex|cluster|discard|checkpoint|load|set\s+session\s+characteristics)\b/i;

/** What in `script` may end its transaction, or take effect outside of it; undefined: nothing. */
export function endsTransaction(script: string): string | undefined {
  const parts = splitScript(script);
  if (parts === undefined)
    return 'a quote or a comment that does not end, or that cannot be read with certainty';
  const { code, texts } = parts;
  const anywhere = NEVER.exec(code) ?? texts.map((text) => NEVER.exec(text)).find((found) => found !== null);
  if (anywhere != null) return shown(anywhere[0]);
  const inCode = NOT_IN_CODE.exec(code);
  if (inCode !== null) return shown(inCode[0]);
  for (const statement of code.split(';')) {
    const first = NOT_FIRST.exec(statement.trim());
    if (first !== null) return shown(first[0]);
  }
  return undefined;
}

function shown(word: string): string {
  return word.trim().replace(/\s+/g, ' ').toUpperCase();
}

/** Comments, quoted names, strings and dollar-quoted bodies, as PostgreSQL's scanner reads them. */
const TOKEN =
  /--[^\n]*|\/\*|"(?:[^"]|"")*"|\b[eE]'(?:[^'\\]|\\[\s\S]|'')*'|'(?:[^']|'')*'|(?<![\w$\u0080-\uffff])\$([A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$|["']/g;

/** `code` has a space in the place of each comment, quoted name, string and body. undefined: it does not end, or is in doubt. */
function splitScript(script: string): { code: string; texts: string[] } | undefined {
  const texts: string[] = [];
  let code = '';
  let at = 0;
  for (;;) {
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(script);
    if (token === null) return { code: code + script.slice(at), texts };
    code += `${script.slice(at, token.index)} `;
    const [text] = token;
    const end = token.index + text.length;
    if (text === '"' || text === "'") return undefined;
    if (text === '/*') {
      const after = endOfComment(script, end);
      if (after === undefined) return undefined;
      at = after;
    } else if (text.startsWith('$')) {
      const close = script.indexOf(text, end);
      if (close === -1) return undefined;
      texts.push(script.slice(end, close));
      at = close + text.length;
    } else {
      // With standard_conforming_strings = off a backslash would quote the quote.
      if (text.startsWith("'") && text.includes("\\'")) return undefined;
      if (!text.startsWith('--') && !text.startsWith('"')) texts.push(text);
      at = end;
    }
  }
}

/** Comments nest. */
function endOfComment(script: string, start: number): number | undefined {
  let depth = 1;
  const bounds = /\/\*|\*\//g;
  bounds.lastIndex = start;
  for (let bound = bounds.exec(script); bound !== null; bound = bounds.exec(script)) {
    depth += bound[0] === '/*' ? 1 : -1;
    if (depth === 0) return bounds.lastIndex;
  }
  return undefined;
}
