import { Chalk } from 'chalk';

/**
 * Whether stderr is coloured: NO_COLOR (https://no-color.org) comes first, because chalk ignores it, then FORCE_COLOR, then
 * whether stderr is a terminal with colours.
 */
export function wantsColour(env: Record<string, string | undefined>, isTerminal: boolean): boolean {
  if (env.NO_COLOR !== undefined && env.NO_COLOR !== '') return false;
  if (env.FORCE_COLOR !== undefined) return !['0', 'false'].includes(env.FORCE_COLOR);
  return isTerminal && env.TERM !== 'dumb';
}

/** How text is coloured. */
export type Paint = Record<'good' | 'warn' | 'bad' | 'dim', (text: string) => string>;
const plain = (text: string): string => text;
export const PLAIN: Paint = { good: plain, warn: plain, bad: plain, dim: plain };

export function paintFor(colour: boolean): Paint {
  if (!colour) return PLAIN;
  // 16 colours, which every terminal with colours has.
  const chalk = new Chalk({ level: 1 });
  return { good: chalk.green, warn: chalk.yellow, bad: chalk.red, dim: chalk.dim };
}
