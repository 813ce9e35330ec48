import type { Tool } from './tools.js';

/**
 * The position of the first argument of `tool` in a command line. The tool's program stands first, or behind programs that are
 * known to start what follows, such as `npx`. undefined: it is not certain that the tool is run.
 */
export function afterToolProgram(argv: readonly string[], tool: Tool): number | undefined {
  let at = 0;
  // Only a package runner reads a version, as in `npx knex@3`.
  let readsVersion = false;
  // Each known program takes at least one word, so this ends.
  for (;;) {
    const word = argv[at];
    if (word === undefined) return undefined;
    // A package with a slash is one of a scope, or of GitHub: another package.
    if (readsVersion && word.includes('/')) return undefined;
    const name = readsVersion ? word.replace(/(?<=.)@[\w.^~-]+$/, '') : word;
    if (isProgram(name, tool)) return at + 1;
    const starter = STARTERS.get(baseName(name));
    const next = starter?.(argv, at + 1);
    if (next === undefined) return undefined;
    if (next.isScript === true) return isScript(argv[next.at] ?? '', tool) ? next.at + 1 : undefined;
    at = next.at;
    readsVersion = next.readsVersion === true;
  }
}

/** `knex`, `./node_modules/.bin/knex`, and the package's own script. */
function isProgram(word: string, tool: Tool): boolean {
  return baseName(word) === tool.program || isOwnScript(word, tool);
}

/** What Node runs: a file is meant, `knex` without a folder would be one in the current folder. */
function isScript(word: string, tool: Tool): boolean {
  return isOwnScript(word, tool) || (word.includes('/') && baseName(word) === tool.program);
}

function isOwnScript(word: string, { program, script }: Tool): boolean {
  return script !== null && `/${word}`.endsWith(`/${program}/${script}`);
}

function baseName(word: string): string {
  return word.slice(word.lastIndexOf('/') + 1);
}

/** The place of the program that is started; undefined: this command line is not understood. */
interface Next {
  at: number;
  readsVersion?: boolean;
  /** A file that Node runs, not a program that is searched for. */
  isScript?: boolean;
}
type Starter = (argv: readonly string[], at: number) => Next | undefined;

/** Options that take no value, and those that take one: as the next word, or after `=`. */
interface Options {
  flags?: readonly string[];
  values?: readonly string[];
}

/** The place of the first word after known options; undefined: there is an unknown one. */
function afterOptions(
  argv: readonly string[],
  at: number,
  { flags = [], values = [] }: Options,
): number | undefined {
  let index = at;
  for (let word = argv[index]; word?.startsWith('-') === true && word !== '--'; word = argv[index]) {
    const [name = '', value] = word.split(/=(.*)/s);
    if (flags.includes(word)) index += 1;
    else if (!values.includes(name)) return undefined;
    else if (value !== undefined) index += 1;
    else if (argv[index + 1] === undefined || argv[index + 1]?.startsWith('-') === true) return undefined;
    else index += 2;
  }
  return index;
}

/** `-- knex`, or `knex`. */
function afterDashes(argv: readonly string[], at: number | undefined): number | undefined {
  return at !== undefined && argv[at] === '--' ? at + 1 : at;
}

const QUIET = ['-s', '--silent', '-q', '--quiet'];

/** https://docs.npmjs.com/cli/commands/npx: the options stand before the package. */
const NPX: Options = {
  flags: ['-y', '--yes', '--no', '--no-install', '--offline', '--prefer-offline', ...QUIET],
  values: ['-p', '--package', '-w', '--workspace', '--prefix'],
};

const npx: Starter = (argv, at) => found(afterDashes(argv, afterOptions(argv, at, NPX)));

/** `npm exec -- knex`. Without the dashes npm would take the options of what it starts. */
const npm: Starter = (argv, at) => {
  if (argv[at] !== 'exec' && argv[at] !== 'x') return undefined;
  const end = afterOptions(argv, at + 1, NPX);
  return end !== undefined && argv[end] === '--' ? found(end + 1) : undefined;
};

/** https://pnpm.io/cli/exec, https://pnpm.io/cli/dlx; `pnpm knex` and `pnpm run knex` append the arguments to a script. */
const pnpm: Starter = (argv, at) => {
  const PNPM: Options = {
    flags: ['-w', '--workspace-root', ...QUIET],
    values: ['-C', '--dir', '-F', '--filter'],
  };
  const sub = afterOptions(argv, at, PNPM);
  if (sub === undefined) return undefined;
  if (argv[sub] === 'dlx') return found(afterOptions(argv, sub + 1, { flags: QUIET, values: ['--package'] }));
  if (argv[sub] === 'exec' || argv[sub] === 'run') return started(afterOptions(argv, sub + 1, PNPM));
  return started(sub);
};

/** https://yarnpkg.com/cli/run, https://yarnpkg.com/cli/dlx, https://classic.yarnpkg.com/en/docs/cli/run */
const yarn: Starter = (argv, at) => {
  let sub = afterOptions(argv, at, { flags: QUIET, values: ['--cwd'] });
  if (sub === undefined) return undefined;
  if (argv[sub] === 'workspace') sub += 2;
  if (argv[sub] === 'dlx')
    return found(afterOptions(argv, sub + 1, { flags: QUIET, values: ['-p', '--package'] }));
  return started(argv[sub] === 'run' ? sub + 1 : sub);
};

/** https://bun.sh/docs/cli/bunx */
const BUNX: Options = {
  flags: ['--bun', '--no-install', '--verbose', '--silent'],
  values: ['-p', '--package'],
};
const bunx: Starter = (argv, at) => found(afterOptions(argv, at, BUNX));
const bun: Starter = (argv, at) => {
  const sub = afterOptions(argv, at, { flags: ['--bun', '--silent'] });
  if (sub === undefined) return undefined;
  if (argv[sub] === 'x') return bunx(argv, sub + 1);
  return argv[sub] === 'run'
    ? started(afterOptions(argv, sub + 1, { flags: ['--bun', '--silent'] }))
    : undefined;
};

/** `node --import tsx node_modules/.bin/knex`. Options with a value in the same word need no list, but code is no script. */
const node: Starter = (argv, at) => {
  let index = at;
  for (let word = argv[index]; word?.startsWith('-') === true; word = argv[index]) {
    if (/^(-e|-p|-i|-c|--eval|--print|--check|--interactive|--test|--run|--watch)/.test(word))
      return undefined;
    const isWhole = /^--[\w-]+=/.test(word) || /^--(no-warnings|enable-source-maps)$/.test(word);
    if (!isWhole && !/^(-r|--require|--import|--loader|--experimental-loader)$/.test(word)) return undefined;
    index += isWhole ? 1 : 2;
  }
  return { at: index, isScript: true };
};

/** `env A=1 knex`, `cross-env A=1 knex` */
const env: Starter = (argv, at) => {
  let index = at;
  while (/^[A-Za-z_]\w*=/.test(argv[index] ?? '')) index += 1;
  return started(index);
};

/** Programs that set variables and start what stands after the dashes: `dotenv -e .env -- knex`, `doppler run -- knex`. */
const behindDashes: Starter = (argv, at) => {
  const dashes = argv.indexOf('--', at);
  return dashes === -1 ? undefined : started(dashes + 1);
};

function started(at: number | undefined): Next | undefined {
  return at === undefined ? undefined : { at };
}

function found(at: number | undefined): Next | undefined {
  return at === undefined ? undefined : { at, readsVersion: true };
}

const STARTERS: ReadonlyMap<string, Starter> = new Map([
  ['npx', npx],
  ['npm', npm],
  ['pnpm', pnpm],
  ['yarn', yarn],
  ['bunx', bunx],
  ['bun', bun],
  ['node', node],
  ['tsx', node],
  ['env', env],
  ['cross-env', env],
  ['dotenv', behindDashes],
  ['dotenvx', behindDashes],
  ['doppler', behindDashes],
  ['op', behindDashes],
]);
