"""The three acts: what an eavesdropper gets of a call, on real sockets.

alice.wav and bob.wav are the two ends of the conversation, each 8 kHz, 16 bit, mono.
They were made once with espeak-ng 1.51 and sox 14.4::

    espeak-ng -v en-gb+f3 -s 178 -p 55 -w a.wav "Bob, it is Alice. The door code is four,
        seven, one, nine. Tell nobody, this line may have ears."
    espeak-ng -v en-gb+m3 -s 160 -p 35 -w b.wav "Thank you Alice. I shall lock up at six,
        and not a word to anybody. Sleep well."
    sox -D a.wav -r 8000 -b 16 -c 1 alice.wav gain -3 highpass 120 norm -3  # bob.wav likewise
"""
