import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startCli, type CliResult } from '../../support/run-cli.js';

export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
/** What a build needs. */
const SOURCES = [
  ...['package.json', 'tsconfig.json', 'tsconfig.build.json', 'README.md', 'LICENSE'],
  ...['bin', 'docs', 'scripts', 'src', 'sql'],
];
/** The settings for reaching packages; npm's other variables would mislead a second npm. */
const NPM_SETTINGS = /^npm_config_(registry|cache|userconfig|globalconfig|proxy|https_proxy|noproxy|cafile)$/;
/** The harness starts Node, which execs the program. */
const HAND_OVER = `
  const [file, ...args] = process.argv.slice(1);
  const { status, signal, error } = require('node:child_process').spawnSync(file, args, { stdio: 'inherit' });
  if (error) throw error;
  process.exitCode = signal === null ? status : 255;`;

/** Runs any program like the command line: without variables that change its behaviour, and what it leaves is found. */
export function execute(
  command: string[],
  cwd: string,
  env: Record<string, string> = {},
): Promise<CliResult> {
  const path = [dirname(process.execPath), process.env.PATH].join(delimiter);
  const settings = Object.entries(process.env).filter(([name]) => NPM_SETTINGS.test(name));
  return startCli(command, {
    program: ['-e', HAND_OVER],
    auditOnly: false,
    cwd,
    env: { ...Object.fromEntries(settings), PATH: path, ...env },
  }).done;
}

/** Packs the build, and installs it in an empty folder. */
export async function installPacked(folder: string): Promise<{ tarball: string; consumer: string }> {
  if (!existsSync(join(ROOT, 'dist', 'types', 'index.d.ts'))) throw new Error('npm run build first');
  const tarball = await pack(ROOT, folder, '--ignore-scripts');
  const consumer = join(folder, 'consumer');
  mkdirSync(consumer);
  // A package.json of its own, so that npm does not look for one further up.
  writeFileSync(join(consumer, 'package.json'), '{ "name": "consumer", "private": true }');
  await succeeds(['npm', 'install', '--no-audit', '--no-fund', '--prefer-offline', tarball], consumer);
  return { tarball, consumer };
}

/** Copies the sources to another folder with a file of an older build: packing them there builds them. */
export async function packElsewhere(folder: string): Promise<string> {
  const copy = join(folder, 'elsewhere');
  for (const name of SOURCES) cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  mkdirSync(join(copy, 'dist'));
  writeFileSync(join(copy, 'dist', 'of-older-sources.cjs'), '');
  return pack(copy, folder);
}

async function pack(source: string, folder: string, ...options: string[]): Promise<string> {
  const destination = mkdtempSync(join(folder, 'packed-'));
  await succeeds(['npm', 'pack', '--pack-destination', destination, ...options], source);
  const [name, ...more] = readdirSync(destination);
  if (name === undefined || more.length > 0)
    throw new Error(`npm pack made ${String(name)} and ${more.join(', ')}`);
  return join(destination, name);
}

async function succeeds(command: string[], cwd: string): Promise<void> {
  const { code, stdout, stderr } = await execute(command, cwd);
  if (code !== 0) throw new Error(`${command.join(' ')}: ${stdout}${stderr}`);
}
