"""How to read each figure of a study, for the page and the Markdown report: constants, translated where they are used.

A reading says where to look and what follows from what is seen there, and no more than the figure allows.
"""

from convlab.common.i18n import N_

EVERY_SEED = N_(
    "See first how far the points of one variant lie apart: that is what another seed changes. Whether two variants "
    "differ is not decided by whether their intervals overlap, but by the interval of their difference."
)

SO_FAR = N_(
    "See how far the points of one variant lie apart: the order of the variants may still change with every run that "
    "comes. These are validation images, and no verdict rests on them."
)

DIFFERENCES = N_(
    "Right of 0 the variant has the higher value, left of 0 its reference. A line beyond the shaded band speaks for a "
    "difference that counts, one inside the band for none that does; the verdict under the name also takes into "
    "account how many tests the study makes."
)

COMBINATIONS = N_(
    "Along a row one factor changes while the other stays. If all rows change alike, the factors add up; if not, they "
    "interact. Hold steps against the SDs before you read a pattern into them."
)

COSTS = N_(
    "Further left is cheaper. A variant is worth its cost where it is better than all that is cheaper; the bars are "
    "SDs of single runs, not intervals of the mean, and times depend on the machine."
)

TUNING = N_(
    "If the best points of a variant lie at an end of the axis, a wider range might hold better settings; if all "
    "heights are alike, the setting matters little. Differences of a few validation images are chance."
)

CURVES = N_(
    "Where validation loss rises while training loss goes on falling, a model overfits. Where both still fall at the "
    "last epoch, more epochs might help."
)

CONFUSION = N_(
    "Each row is a true class. What lies off the diagonal was taken for another class: a dark cell there is a pair "
    "that the model mixes up, and its mirror image tells whether that goes both ways."
)

PREDICTIONS = N_(
    "Above an image: its true class, then the class that the runs prefer with its mean probability, then how many "
    "runs are right. One image of a class says nothing about how frequent mistakes are."
)

MISTAKES = N_(
    "The worst cases, not typical ones. See whether you could tell the class yourself: an image that looks mislabelled "
    "or cut off is a fault of the data rather than of the model."
)

DISPUTED = N_(
    "The same model with another seed answers differently here, so a single run's answer for such an image says "
    "little about the architecture."
)

RECALL = N_(
    "Further right is better. A class that lies far left for every variant is hard for all of them; where the lines of "
    "two variants overlap, they differ by no more than their seeds scatter together."
)

CALIBRATION = N_(
    "On the diagonal confidence is right; below it the model is surer than it is right, above it less sure. Every "
    "point stands for equally many images, so many points in a corner mean that most predictions lie there."
)
