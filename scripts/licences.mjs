// The licences of the packages that the build bundles, as one text. The package and the executable carry it.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** The file in dist/. */
export const LICENCES = 'THIRD-PARTY-LICENSES.txt';
const FILE_NAME = /^(licen[cs]e|copying|notice)([.-]|$)/i;

/**
 * The folders of the packages whose files are in a bundle, by esbuild's list of its inputs.
 * @param {import('esbuild').Metafile} metafile
 * @returns {string[]} such as `node_modules/chalk`
 */
export function bundledPackages({ inputs }) {
  const folders = Object.keys(inputs).flatMap((file) => {
    const [folder] = /^.*\bnode_modules\/(@[^/]+\/)?[^/]+/.exec(file) ?? [];
    return folder === undefined ? [] : [folder];
  });
  return [...new Set(folders)].sort();
}

/**
 * @param {string} root the folder that the packages' folders are relative to
 * @param {readonly string[]} folders
 * @returns {string}
 */
export function licencesOf(root, folders) {
  const texts = folders.map((folder) => {
    const place = path.join(root, folder);
    const { name, version, license, author } = JSON.parse(
      readFileSync(path.join(place, 'package.json'), 'utf8'),
    );
    if (typeof license !== 'string') throw new Error(`${name} has no licence in its package.json`);
    const files = readdirSync(place).filter((file) => FILE_NAME.test(file));
    const words = files.map((file) => readFileSync(path.join(place, file), 'utf8').trim());
    // A package without a file names its licence and its author only.
    const by = typeof author === 'string' ? author : (author?.name ?? 'its authors');
    const text = words.length > 0 ? words.join('\n\n') : `Licensed by ${by} under the ${license} licence.`;
    return `${name} ${version} (${license})\n\n${text.replaceAll('\r\n', '\n')}\n`;
  });
  const line = `\n${'-'.repeat(80)}\n\n`;
  return `migrate-lock contains these packages, or parts of them, under their licences.\n${line}${texts.join(line)}`;
}
