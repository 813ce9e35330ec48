// What makes the command line's bundle start fast.
import path from 'node:path';

/** Modules that the command line imports when it needs them, each with its packages in a file of its own: they cost no start. */
export const ON_DEMAND = { drawing: 'src/ui/drawing.ts', prometheus: 'src/metrics/prometheus.ts' };

/** @type {import('esbuild').Plugin} */
export const loadOnDemand = {
  name: 'load-on-demand',
  setup({ onResolve }) {
    onResolve({ filter: /\.js$/ }, ({ path: imported, kind }) => {
      const name = path.basename(imported, '.js');
      if (kind === 'dynamic-import' && name in ON_DEMAND) return { path: `./${name}.cjs`, external: true };
    });
  },
};

/**
 * What packages import of Node that takes long to load, and what they get instead. postgres.js never uses Node's tls here, as it
 * is given sockets on which TLS is spoken already. What fills nanoid's bytes is the same generator, without all of Web Crypto.
 * @type {Record<string, Record<string, string>>}
 */
const INSTEAD = {
  postgres: {
    tls: 'export default { connect() { throw new Error("sockets come with TLS here"); } };',
    perf_hooks: 'const own = performance; export { own as performance };',
  },
  nanoid: {
    'node:crypto':
      'const { randomFillSync } = require("crypto"); export const webcrypto = { getRandomValues: randomFillSync };',
  },
};

/** @type {import('esbuild').Plugin} */
export const loadLessOfNode = {
  name: 'load-less-of-node',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(tls|perf_hooks|node:crypto)$/ }, ({ path: imported, importer }) => {
      const [, name = ''] = /[\\/]node_modules[\\/](postgres|nanoid)[\\/]/.exec(importer) ?? [];
      const contents = INSTEAD[name]?.[imported];
      if (contents !== undefined) return { path: imported, namespace: 'instead', pluginData: contents };
    });
    onLoad({ filter: /.*/, namespace: 'instead' }, ({ pluginData }) => ({ contents: pluginData }));
  },
};

/** @type {import('esbuild').Plugin} */
export const touchUp = {
  name: 'touch-up',
  setup({ onEnd }) {
    onEnd(({ outputFiles = [] }) => {
      for (const file of outputFiles) {
        // esbuild copies every module of Node.js whose default export is imported, property by property.
        const quick = file.text.replaceAll(
          /\b__toESM\((require\("(?:node:)?[a-z_/]+"\)),1\)/g,
          '(module=>({__proto__:module,default:module}))($1)',
        );
        // And names packages' modules by where they lie for who builds.
        const anywhere = quick.replaceAll(/\b__(commonJS|esm)\(\{"[^"]*node_modules\//g, '__$1({"');
        if (quick === file.text || anywhere === quick)
          return {
            errors: [{ text: 'esbuild writes its output in another way now: see bundle-plugins.mjs' }],
          };
        file.contents = Buffer.from(anywhere);
      }
    });
  },
};
