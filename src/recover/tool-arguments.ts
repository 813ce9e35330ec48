import type { Tool } from './tools.js';

/** The arguments of a tool that take its lock, read as the tool reads them. */
export interface ToolArguments {
  /** The arguments of its recovery: the connection options in their places, the subcommand replaced. */
  recovery: readonly string[];
  /** The values of its connection options, by name. */
  connection: ReadonlyMap<string, string>;
}

/**
 * Reads the arguments of a tool.
 * @returns undefined when one of them is not listed: such an option may take the next word as its value, or not.
 */
export function readToolArguments(tool: Tool, words: readonly string[]): ToolArguments | undefined {
  const recovery: string[] = [];
  const connection = new Map<string, string>();
  let positionalsLeft: number | undefined;
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] ?? '';
    if (word.startsWith('-')) {
      const read = readOption(tool, word, words[index + 1]);
      if (read === undefined) return undefined;
      if (read.value !== undefined && !word.includes('=')) index += 1;
      if (!read.connects) continue;
      recovery.push(word);
      if (read.value !== undefined && !word.includes('=')) recovery.push(read.value);
      connection.set(read.name, read.value ?? '');
    } else if (positionalsLeft === undefined) {
      const read = readCommand(tool, words.slice(index));
      if (read === undefined) return undefined;
      index += read.words - 1;
      positionalsLeft = read.positionals;
      recovery.push(...tool.recovery);
    } else {
      positionalsLeft -= 1;
      if (positionalsLeft < 0) return undefined;
    }
  }
  return positionalsLeft === undefined ? undefined : { recovery, connection };
}

function readOption(
  tool: Tool,
  word: string,
  next: string | undefined,
): { name: string; value: string | undefined; connects: boolean } | undefined {
  const [, written = '', attached] = /^([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
  const name = tool.anyCase ? `--${withoutCase(written)}` : written;
  const option = tool.options.get(name);
  // A property of a changelog, `-Dname=value`.
  if (option === undefined && tool.anyCase && /^-D[^=]+=/.test(word))
    return { name: word, value: attached, connects: false };
  if (option === undefined || !written.startsWith('--')) return undefined;
  if (!option.takesValue)
    return attached === undefined ? { name, value: undefined, connects: option.connects } : undefined;
  const value = attached ?? next;
  // `--env --esm`: the value is missing.
  if (value === undefined || (attached === undefined && value.startsWith('-'))) return undefined;
  return { name, value, connects: option.connects };
}

/** A subcommand is one word (`migrate:latest`) or several (`migrate deploy`). */
function readCommand(
  tool: Tool,
  words: readonly string[],
): { words: number; positionals: number } | undefined {
  for (const [command, positionals] of tool.commands) {
    const length = command.split(' ').length;
    const given = words.slice(0, length).join(' ');
    if ((tool.anyCase ? withoutCase(given) : given) === command) return { words: length, positionals };
  }
  return undefined;
}

function withoutCase(text: string): string {
  return text.replaceAll('-', '').toLowerCase();
}
