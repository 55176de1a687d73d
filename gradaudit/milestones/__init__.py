"""Five models that mark the history of the field, on the project's own tape, small enough to train in a second.

Each file has ``build(seed, dtype)``, which returns the model; ``data(seed)``, a training set as arrays, inputs and
targets, a tuple each; ``loss(output, target)``, a scalar tensor; and ``accuracy(output, target)`` of arrays.

| model         | year | parameters | learns            | with                                             |
|---------------|------|------------|-------------------|--------------------------------------------------|
| `perceptron`  | 1957 | 2          | two clouds        | SGD, lr 0.5, 20 epochs of all                    |
| `xor`         | 1969 | 4          | exclusive or      | Adam, lr 0.05, 100 epochs of all                 |
| `mlp`         | 1986 | 4          | digits            | Adam, lr 0.01, 10 epochs in batches of 32        |
| `cnn`         | 1998 | 6          | digits            | Adam, lr 0.01, 10 epochs in batches of 32        |
| `transformer` | 2017 | 19         | to reverse        | Adam, lr 0.02, 10 epochs in batches of 16        |

`torch` has the same five as torch modules, `digits` what is to be read.
"""
