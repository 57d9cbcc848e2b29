/** @type {import('aegir').PartialOptions} */
export default {
  build: {
    // a command: nobody bundles it
    bundle: false
  },
  test: {
    target: ['node']
  },
  dependencyCheck: {
    // a test reads its file
    ignore: ['axe-core'],
    // what these need is a devDependency: it is not for those who use the package
    productionIgnorePatterns: [
      '/dist',
      '/test',
      '.aegir.js'
    ],
    developmentIgnorePatterns: [
      '/dist',
      '/src'
    ]
  }
}
