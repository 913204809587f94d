"""What a process does that is killed; in a module that such a process can import."""

import time

from ringward.events import Processor


def work(path, begun, started):
    """Handle events slowly, and write down which have begun."""
    with Processor(path) as p, begun.open("ab", buffering=0) as said:

        @p.consumer("g", members=4)
        def slow(event):
            said.write(b"%d\n" % event.seq)
            started.set()
            time.sleep(0.1)

        p.run()
